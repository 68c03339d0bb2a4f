"""Registering at a station."""

from collections.abc import Callable

from tests.web.conftest import Browser, Township

AREA = "445222113201"
FORM = {"title": "村口排水沟堵塞", "body": "下雨就积水,小孩上学要绕路。", "area": AREA, "category": "water"}


def test_an_opinion_is_registered_and_its_receipt_shown(at_station: Callable[[str], Browser]) -> None:
    liaison = at_station("liaison")
    page = liaison.send("/opinions/new", follow=True, **FORM)
    assert page.status_code == 200
    assert "QD-2026-0001" in page.text
