"""What a desk does with an opinion, and what it is told when it cannot."""

from collections.abc import Callable

import pytest

from service.domain.opinions import State
from service.store import queries
from tests.web.cases import Cases
from tests.web.conftest import Browser, Township

Sit = Callable[[str], Browser]


@pytest.fixture
def cases(township: Township) -> Cases:
    return Cases(township)


def state(township: Township, opinion: str) -> State:
    with township.station.reading() as connection:
        row = queries.opinion(connection, opinion)
    assert row is not None
    return row.state


def events(township: Township, opinion: str, kind: str) -> int:
    with township.station.reading() as connection:
        found = township.station.ledger.read_subjects(connection, [f"opinion/{opinion}"])  # type: ignore[list-item]
    return sum(1 for events in found.values() for event in events if event.kind == kind)


def test_the_chief_answers_on_the_spot(at_station: Sit, cases: Cases, township: Township) -> None:
    made, chief = cases.registered(), at_station("chief")
    page = chief.send(f"/opinions/{made.opinion}/steps/answer", follow=True, text="已说明。", outcome="D", way="face")
    assert "已保存: 直接答复" in page.text
    assert "已答复(待回访)" in page.text
    assert state(township, made.opinion) is State.REPLIED


def test_a_deputy_answers_what_was_marked_for_a_direct_answer(
    at_station: Sit, cases: Cases, township: Township
) -> None:
    made = cases.registered()
    assert at_station("deputy").get(f"/opinions/{made.opinion}/steps/answer").status_code == 409
    at_station("chief").send(f"/opinions/{made.opinion}/steps/route-direct", basis="政策文件")
    at_station("deputy").send(f"/opinions/{made.opinion}/steps/answer", text="已口头说明。", outcome="D")
    assert state(township, made.opinion) is State.REPLIED


@pytest.mark.parametrize("step", ["answer", "route-direct", "explain"])
def test_a_step_sent_twice_is_recorded_once(at_station: Sit, cases: Cases, township: Township, step: str) -> None:
    typed = {"text": "已说明。", "outcome": "D", "basis": "文件", "reason": "N4", "channel": "县里", "talk": "谈过",
             "confirmed": "1"}  # fmt: skip
    made, chief = cases.registered(), at_station("chief")
    path = f"/opinions/{made.opinion}/steps/{step}"
    sent = {**chief.form(path), **typed}
    assert chief.client.post(path, data=sent).status_code == 302
    again = chief.client.post(path, data=sent, follow_redirects=True)
    assert "没有重复记录" in again.text
    kind = {"answer": "answered", "route-direct": "routed_direct", "explain": "explained"}[step]
    assert events(township, made.opinion, f"opinion.{kind}") == 1


def test_two_attempts_to_follow_up_are_two_records(at_station: Sit, cases: Cases, township: Township) -> None:
    made, liaison = cases.answered_here(), at_station("liaison")
    path = f"/opinions/{made.opinion}/steps/follow-up"
    for _day in range(2):
        assert liaison.send(path, reached="no").status_code == 302
        township.clock.pass_by(days=1)
    assert events(township, made.opinion, "opinion.followed_up") == 2
    assert liaison.send(f"/opinions/{made.opinion}/steps/close").status_code == 302
    assert state(township, made.opinion) is State.CLOSED


def test_closing_before_following_up_is_refused_with_the_reason(at_station: Sit, cases: Cases) -> None:
    made, liaison = cases.answered_here(), at_station("liaison")
    refused = liaison.send(f"/opinions/{made.opinion}/steps/close", note="想办结")
    assert refused.status_code == 422
    assert "请先回访" in refused.text
    assert "想办结" in refused.text
    liaison.speak("en")
    assert "Follow up first" in liaison.send(f"/opinions/{made.opinion}/steps/close").text


EXPLAIN = {"reason": "N4", "channel": "县自然资源局", "talk": "已当面说明。", "confirmed": "1", "attempts": "0"}


@pytest.mark.parametrize(
    ("change", "field", "chinese", "english"),
    [
        ({"reason": ""}, "reason", "请填写“原因”。", "Please fill in"),
        ({"reason": "N3"}, "reason", "只能由人大主席", "by the chair alone"),
        ({"channel": ""}, "channel", "请填写“告知渠道”。", "Please fill in"),
        ({"talk": ""}, "talk", "请填写“谈话记录”。", "Please fill in"),
        ({"confirmed": "", "attempts": "1"}, "attempts", "须至少联系两次", "at least two attempts"),
        ({"confirmed": "", "attempts": "两"}, "attempts", "请填整数", "whole number"),
    ],
)
def test_explaining_names_the_field_that_is_wrong(
    at_station: Sit, cases: Cases, change: dict[str, str], field: str, chinese: str, english: str
) -> None:
    made, chief = cases.registered(), at_station("chief")
    path = f"/opinions/{made.opinion}/steps/explain"
    page = chief.send(path, **(EXPLAIN | change))
    assert page.status_code == 422
    assert f'id="e-{field}"' in page.text
    assert chinese in page.text
    for name in ("channel", "talk"):
        assert (EXPLAIN | change)[name] in page.text
    chief.speak("en")
    assert english in chief.send(path, **(EXPLAIN | change)).text


def test_a_dissatisfied_citizen_needs_a_reason_and_then_the_township_is_asked(at_station: Sit, cases: Cases) -> None:
    made, liaison = cases.answered_here(), at_station("liaison")
    path = f"/opinions/{made.opinion}/steps/follow-up"
    refused = liaison.send(path, solved="yes", rating="dissatisfied", note="电话里很生气")
    assert refused.status_code == 422
    assert 'id="e-reason"' in refused.text
    assert "电话里很生气" in refused.text
    taken = liaison.send(path, follow=True, solved="yes", rating="dissatisfied", reason="没人来看过")
    assert "已申请重新办理,等待乡镇决定" in taken.text


def test_a_deputy_asks_to_reopen_for_a_citizen(at_station: Sit, cases: Cases) -> None:
    made, deputy = cases.answered_here(), at_station("deputy")
    page = deputy.send(f"/opinions/{made.opinion}/steps/ask-reopen", follow=True, reason="情况有变")
    assert "已申请重新办理,等待乡镇决定" in page.text


def test_a_step_that_no_longer_fits_says_so(at_station: Sit, cases: Cases) -> None:
    made, chief = cases.registered(), at_station("chief")
    path = f"/opinions/{made.opinion}/steps/route-direct"
    form = {**chief.form(path), "basis": "文件"}
    at_station("chief").send(f"/opinions/{made.opinion}/steps/explain", **EXPLAIN)
    refused = chief.client.post(path, data=form)
    assert refused.status_code == 409
    assert "可能已有人办理" in refused.text


def test_unknown_steps_and_opinions_are_not_found(at_station: Sit, cases: Cases) -> None:
    made, chief = cases.registered(), at_station("chief")
    assert chief.get(f"/opinions/{made.opinion}/steps/nonsense").status_code == 404
    assert chief.get(f"/opinions/{'0' * 32}/steps/answer").status_code == 404


def test_another_stations_case_is_not_found(at_station: Sit, at_hub: Sit, township: Township) -> None:
    form = {"title": "x", "body": "y", "area": "445222113201"}
    receipt = at_hub("clerk").send("/opinions/new", **form).headers["Location"]
    township.exchange()
    assert at_station("chief").get(receipt.removesuffix("/receipt")).status_code == 404
