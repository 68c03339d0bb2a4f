"""Who sees and does what: pages hide it, actions refuse it."""

from collections.abc import Callable

import pytest

from tests.web.cases import WHO, WORDS, Cases
from tests.web.conftest import Browser, Township

Sit = Callable[[str], Browser]
PERSONAL = (WHO.name, WHO.phone, WHO.address)


@pytest.fixture
def cases(township: Township) -> Cases:
    return Cases(township)


def nothing_personal(page: str) -> bool:
    return not any(text in page for text in PERSONAL)


def test_a_deputy_is_offered_neither_dispatch_nor_closing(at_station: Sit, cases: Cases) -> None:
    made = cases.answered_here()
    page = at_station("deputy").get(f"/opinions/{made.opinion}").text
    assert "/steps/close" not in page
    assert "/steps/follow-up" not in page
    assert "申请重新办理" in page


@pytest.mark.parametrize("step", ["close", "follow-up", "explain", "route-direct"])
def test_a_deputy_who_asks_anyway_is_refused(at_station: Sit, cases: Cases, step: str) -> None:
    made, deputy = cases.registered(), at_station("deputy")
    path = f"/opinions/{made.opinion}/steps/{step}"
    token = deputy.form("/password")["csrf_token"]
    assert deputy.get(path).status_code == 403
    refused = deputy.client.post(path, data={"csrf_token": token, "note": "x", "basis": "x"})
    assert refused.status_code == 403
    assert "您的角色不能办理此步骤" in refused.text


def test_a_deputy_at_the_hub_cannot_dispatch(at_hub: Sit, cases: Cases, township: Township) -> None:
    made = cases.registered()
    township.exchange()
    page = at_hub("auditor").get(f"/opinions/{made.opinion}").text
    assert "/steps/" not in page


def test_the_officer_who_follows_up_may_close_and_the_answering_chief_may_not(at_station: Sit, cases: Cases) -> None:
    chief = at_station("chief")
    made = cases.registered()
    path = f"/opinions/{made.opinion}/steps"
    assert chief.send(f"{path}/answer", text="已说明。", outcome="D").status_code == 302
    assert chief.send(f"{path}/follow-up", solved="yes").status_code == 403
    liaison = at_station("liaison")
    assert liaison.send(f"{path}/follow-up", solved="yes", rating="satisfied").status_code == 302
    assert liaison.send(f"{path}/close").status_code == 302


# --- who reported it ---------------------------------------------------------------------------------------------


def test_lists_and_pages_show_masked_names_only(at_station: Sit, cases: Cases) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    for path in ("/workbench", "/opinions", f"/opinions/{made.opinion}", f"/opinions/{made.opinion}/clocks", "/sync"):
        assert nothing_personal(liaison.get(path).text), path
    assert "王**" in liaison.get(f"/opinions/{made.opinion}").text
    assert "138****5678" in liaison.get(f"/opinions/{made.opinion}").text


def test_looking_at_a_reporter_needs_a_reason_and_leaves_a_trace(at_station: Sit, cases: Cases) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    path = f"/opinions/{made.opinion}/reporter"
    assert nothing_personal(liaison.get(path).text)
    refused = liaison.send(path, reason=" ")
    assert refused.status_code == 422
    assert nothing_personal(refused.text)
    shown = liaison.send(path, reason="电话回访")
    assert all(text in shown.text for text in PERSONAL)
    page = liaison.get(f"/opinions/{made.opinion}").text
    assert "查看记录 1 次" in page
    assert "电话回访" in page
    assert nothing_personal(page)


def test_a_deputy_does_not_see_who_reported(at_station: Sit, cases: Cases) -> None:
    made, deputy = cases.registered(), at_station("deputy")
    page = deputy.get(f"/opinions/{made.opinion}").text
    assert "王**" not in page
    assert "您的账号或本机不能查看来访人信息" in page
    refused = deputy.send(f"/opinions/{made.opinion}/reporter", reason="想知道")
    assert refused.status_code == 403
    assert nothing_personal(refused.text)


@pytest.mark.parametrize("secrecy", ["unit", "anonymous"])
@pytest.mark.parametrize("who", ["handler", "head", "clerk", "chair", "auditor"])
def test_nobody_beyond_the_station_sees_a_secret_reporter(at_hub: Sit, cases: Cases, secrecy: str, who: str) -> None:
    made, reader = cases.dispatched(secrecy=secrecy), at_hub(who)
    page = reader.get(f"/opinions/{made.opinion}")
    assert page.status_code == 200
    assert WORDS in page.text
    assert nothing_personal(page.text)
    assert "王**" not in page.text
    refused = reader.send(f"/opinions/{made.opinion}/reporter", reason="想知道")
    assert refused.status_code == 403
    assert nothing_personal(refused.text)


def test_the_station_itself_opens_what_it_sealed(at_station: Sit, cases: Cases) -> None:
    made = cases.dispatched(secrecy="unit")
    shown = at_station("liaison").send(f"/opinions/{made.opinion}/reporter", reason="回访")
    assert all(text in shown.text for text in PERSONAL)


def test_even_the_station_shows_an_anonymous_reporter_to_nobody(at_station: Sit, cases: Cases) -> None:
    made = cases.registered(secrecy="anonymous")
    refused = at_station("chief").send(f"/opinions/{made.opinion}/reporter", reason="想知道")
    assert refused.status_code == 403
    assert nothing_personal(refused.text)


def test_a_unit_sees_only_what_was_dispatched_to_it(at_hub: Sit, cases: Cases, township: Township) -> None:
    elsewhere = cases.registered()
    township.exchange()
    assert at_hub("handler").get(f"/opinions/{elsewhere.opinion}").status_code == 404


def test_an_unnamed_reporter_is_said_to_be_unnamed(at_station: Sit) -> None:
    liaison = at_station("liaison")
    receipt = liaison.send("/opinions/new", title="路灯", body="不亮", area="445222113201").headers["Location"]
    assert "来访人没有留下姓名和电话" in liaison.get(receipt.removesuffix("/receipt")).text


# --- erasing -----------------------------------------------------------------------------------------------------


def test_the_chief_erases_a_reporter_once_it_is_confirmed(at_station: Sit, cases: Cases) -> None:
    made, chief = cases.registered(), at_station("chief")
    path, action = f"/opinions/{made.opinion}/reporter", f"/opinions/{made.opinion}/reporter/erase"
    unsure = chief.send(path, at=action, having="erase_reason", erase_reason="本人要求")
    assert unsure.status_code == 422
    assert "本人要求" in unsure.text, "what was typed stays"
    assert "确认删除" in unsure.text
    done = chief.send(path, at=action, having="erase_reason", erase_reason="本人要求", sure="1", follow=True)
    assert "个人信息和附件已删除" in done.text
    assert "个人信息已清除" in done.text
    assert nothing_personal(done.text)


def test_erasing_is_not_offered_to_a_liaison_officer_and_refused_to_one_who_asks(at_station: Sit, cases: Cases) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    assert "删除个人信息" not in liaison.get(f"/opinions/{made.opinion}/reporter").text
    token = liaison.form("/password")["csrf_token"]
    typed = {"csrf_token": token, "erase_reason": "x", "sure": "1"}
    assert liaison.client.post(f"/opinions/{made.opinion}/reporter/erase", data=typed).status_code == 403
