"""Chinese first, English by choice, and nothing left untranslated."""

import re
from collections.abc import Callable

import pytest

from service.web import catalogue
from service.web.catalogue import SHELVES, Shelf
from tests.web.conftest import Browser

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")
NEVER_SAID = ("工单", "客户", "客服", "投诉")

shelves = pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.folder)


@shelves
def test_every_text_of_the_pages_has_an_english_translation(shelf: Shelf) -> None:
    translated = {str(entry.id) for entry in catalogue.read(shelf) if entry.id and entry.string}
    assert sorted(set(catalogue.said(shelf)) - translated) == [], "run: python -m service.web.catalogue"


@shelves
def test_catalogues_hold_nothing_that_no_page_says_any_more(shelf: Shelf) -> None:
    kept = {str(entry.id) for entry in catalogue.read(shelf) if entry.id}
    assert sorted(kept - set(catalogue.said(shelf))) == [], "run: python -m service.web.catalogue"


@shelves
def test_the_compiled_catalogue_is_the_written_one(shelf: Shelf) -> None:
    assert catalogue.compiled(shelf) == catalogue.written(shelf), "run: python -m service.web.catalogue"


@shelves
def test_a_translation_fills_in_what_the_original_fills_in(shelf: Shelf) -> None:
    differing = [
        str(entry.id) for entry in catalogue.read(shelf)
        if entry.id and sorted(PLACEHOLDER.findall(str(entry.id))) != sorted(PLACEHOLDER.findall(str(entry.string)))
    ]  # fmt: skip
    assert differing == []


@shelves
def test_the_desk_speaks_of_opinions_and_citizens_not_of_tickets_and_customers(shelf: Shelf) -> None:
    assert [text for text in catalogue.said(shelf) if any(word in text for word in NEVER_SAID)] == []


def test_pages_are_chinese_until_somebody_asks_for_english(at_station: Callable[[str], Browser]) -> None:
    liaison = at_station("liaison")
    page = liaison.get("/workbench").text
    assert '<html lang="zh-CN">' in page
    assert "工作台" in page
    switched = liaison.get("/language/en?next=/workbench")
    assert switched.headers["Location"] == "/workbench"
    page = liaison.get("/workbench").text
    assert '<html lang="en">' in page
    assert "Workbench" in page
    liaison.speak("zh")
    assert "工作台" in liaison.get("/workbench").text


@pytest.mark.parametrize("target", ["https://else.example/", "//else.example", "/\\else.example", "x", ""])
def test_a_language_link_never_leads_away(at_station: Callable[[str], Browser], target: str) -> None:
    answer = at_station("liaison").client.get("/language/en", query_string={"next": target})
    assert answer.headers["Location"] == "/"


def test_an_unknown_language_changes_nothing(at_station: Callable[[str], Browser]) -> None:
    liaison = at_station("liaison")
    liaison.speak("fr")
    assert "工作台" in liaison.get("/workbench").text
