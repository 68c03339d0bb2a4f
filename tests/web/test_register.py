"""Registering an opinion: the form, its messages, the receipt, and sending it twice."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import select

from service.actions.registering import tracking_hash
from service.store.tables import opinions
from tests.web.conftest import Browser, Township

AREA = "445222113201"
FORM = {"title": "村口排水沟堵塞", "body": "下雨就积水,小孩上学要绕路。", "area": AREA, "category": "water"}
NAMED = FORM | {"name": "王小明", "phone": "13812345678", "address": "钱东村三组", "notice_read": "1"}
CODE = re.compile(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}\b")

Sit = Callable[[str], Browser]


def code_on(page: str) -> str:
    found = CODE.search(page)
    assert found
    return found.group()


def rows(township: Township) -> list[object]:
    with township.station.reading() as connection:
        return list(connection.execute(select(opinions)))


def test_an_opinion_is_registered_and_its_receipt_shown(at_station: Sit, township: Township) -> None:
    page = at_station("liaison").send("/opinions/new", follow=True, **NAMED)
    assert page.status_code == 200
    assert "QD-2026-0001" in page.text
    assert 'src="data:image/svg+xml' in page.text
    assert "王小明" not in page.text
    (row,) = rows(township)
    assert row.tracking == tracking_hash(code_on(page.text))  # type: ignore[attr-defined]


def test_the_code_is_in_no_address_and_gone_once_handed_over(at_station: Sit) -> None:
    liaison = at_station("liaison")
    answer = liaison.send("/opinions/new", **FORM)
    receipt = answer.headers["Location"]
    assert not CODE.search(receipt)
    assert code_on(liaison.get(receipt).text) == code_on(liaison.get(receipt).text), "a second look may be needed"
    liaison.send(receipt)
    assert not CODE.search(liaison.get(receipt).text)


def test_the_code_is_forgotten_after_half_an_hour(at_station: Sit, township: Township) -> None:
    liaison = at_station("liaison")
    receipt = liaison.send("/opinions/new", **FORM).headers["Location"]
    township.clock.pass_by(minutes=31)
    assert not CODE.search(liaison.get(receipt).text)


def test_the_same_form_sent_twice_registers_once(at_station: Sit, township: Township) -> None:
    liaison = at_station("liaison")
    sent = {**liaison.form("/opinions/new"), **FORM}
    first = liaison.client.post("/opinions/new", data=sent)
    second = liaison.client.post("/opinions/new", data=sent, follow_redirects=True)
    assert len(rows(township)) == 1
    assert second.request.path == first.headers["Location"]
    assert "没有重复登记" in second.text
    assert CODE.search(second.text), "this browser still holds the code of the first sending"


def test_a_receipt_that_was_lost_with_the_power_comes_back_when_the_form_is_sent_again(
    at_station: Sit, township: Township
) -> None:
    liaison = at_station("liaison")
    sent = {**liaison.form("/opinions/new"), **FORM}
    liaison.client.post("/opinions/new", data=sent)
    first = CODE.search(liaison.get(f"/opinions/{rows(township)[0].id}/receipt").text)
    with liaison.client.session_transaction() as session:
        session.pop("receipt")  # the answer never reached the browser
    again = CODE.search(liaison.client.post("/opinions/new", data=sent, follow_redirects=True).text)
    assert first is not None
    assert again is not None
    assert again[0] == first[0]


def test_two_forms_with_the_same_words_are_two_opinions(at_station: Sit, township: Township) -> None:
    liaison = at_station("liaison")
    liaison.send("/opinions/new", **FORM)
    liaison.send("/opinions/new", **FORM)
    assert len(rows(township)) == 2


BAD = {
    "title": ({"title": "  "}, "请填写“标题”。", 'Please fill in &#34;Title&#34;.'),
    "title long": ({"title": "长" * 81}, "“标题”太长,最多 80 个字。", "&#34;Title&#34; is too long: 80 char"),
    "body": ({"body": ""}, "请填写“反映事项(请记录原话)”。", "Please fill in &#34;The matter"),
    "area": ({"area": ""}, "请填写“所在村(居)”。", "Please fill in &#34;Village&#34;."),
    "area unknown": ({"area": "999"}, "“所在村(居)”的选项无效", "&#34;Village&#34;: this choice is not valid"),
    "category": ({"category": "x"}, "“类别”的选项无效", "&#34;Category&#34;: this choice is not valid"),
    "source": ({"source": "pigeon"}, "“反映方式”的选项无效", "&#34;How it came&#34;: this choice is not valid"),
    "urgency": ({"urgency": "x"}, "“紧急程度”的选项无效", "&#34;Urgency&#34;: this choice is not valid"),
    "secrecy": ({"secrecy": "x"}, "“保密要求”的选项无效", "&#34;Confidentiality&#34;: this choice is not valid"),
    "affected words": ({"affected": "很多"}, "“涉及人数”请填整数", "&#34;People concerned&#34; must be a whole number"),
    "affected none": ({"affected": "0"}, "“涉及人数”应在 1 到", "&#34;People concerned&#34; must lie between 1"),
    "notice": ({"notice_read": ""}, "请先宣读个人信息告知书并勾选", "read the privacy notice out"),
    "name long": ({"name": "名" * 201}, "“姓名”太长", "&#34;Name&#34; is too long"),
    "phone long": ({"phone": "1" * 41}, "“电话”太长", "&#34;Telephone&#34; is too long"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_bad_field_is_named_and_what_was_typed_is_kept(
    at_station: Sit, township: Township, case: str, language: str
) -> None:
    liaison = at_station("liaison")
    liaison.speak(language)
    change, chinese, english = BAD[case]
    page = liaison.send("/opinions/new", **(NAMED | change))
    assert page.status_code == 422
    assert (chinese if language == "zh" else english) in page.text
    for typed in set((NAMED | change).values()) - {"", "  ", "x", "999", "pigeon", "1"}:
        assert typed in page.text
    assert rows(township) == []


def test_all_bad_fields_are_named_at_once_in_the_order_of_the_page(at_station: Sit) -> None:
    page = at_station("liaison").send("/opinions/new", title="", body="", affected="x", area="").text
    summary = page[page.index('role="alert"') : page.index("</ul>", page.index('role="alert"'))]
    assert re.findall(r"#f-(\w+)", summary) == ["title", "body", "area", "affected"]
    for name in ("title", "body", "area", "affected"):
        assert f'aria-describedby="{"h-" + name + " " if f"""id="h-{name}""" in page else ""}e-{name}"' in page


def test_markup_in_words_is_shown_not_run(at_station: Sit) -> None:
    liaison = at_station("liaison")
    receipt = liaison.send("/opinions/new", **(FORM | {"title": "<script>alert(1)</script>"})).headers["Location"]
    for path in (receipt, receipt.removesuffix("/receipt"), "/opinions", "/workbench"):
        assert "<script" not in liaison.get(path).text


def test_a_deputy_registers_and_is_named_as_who_passed_it_on(at_station: Sit) -> None:
    deputy = at_station("deputy")
    receipt = deputy.send("/opinions/new", **FORM).headers["Location"]
    assert "代反映代表" in deputy.get(receipt.removesuffix("/receipt")).text


def test_whole_numbers_may_be_typed_with_full_width_digits(at_station: Sit, township: Township) -> None:
    at_station("liaison").send("/opinions/new", **(FORM | {"affected": "12"}))
    (row,) = rows(township)
    assert row.affected == 12  # type: ignore[attr-defined]


def test_the_hubs_clerk_registers_for_the_central_station(at_hub: Sit) -> None:
    page = at_hub("clerk").send("/opinions/new", follow=True, **FORM)
    assert "ZX0-2026-0001" in page.text  # the hub counts apart from the central station's own node
