"""The way of an opinion through the hub's pages, each transition by the form that a person fills."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from service.actions import escalating, following_up
from service.actions.following_up import FollowUpForm
from service.domain.people import Role
from tests.web.conftest import Browser, Township
from tests.web.hub_cases import LIAISON, Cases
from tests.web.hub_seats import seat

AtHub = Callable[[str], Browser]
DISPATCH = {"unit": "water", "requirement": "疏通并答复", "duty_basis": "职责清单第一项"}


def screening(opinion_id: str, way: str) -> str:
    return f"/hub/screening/{opinion_id}/{way}"


# --- screening -------------------------------------------------------------------------------------------------


def test_from_the_inbox_to_the_paper_form(at_hub: AtHub, township: Township) -> None:
    """T8: the inbox shows the countdown, the form the due day, the paper both numbers."""
    opinion_id, clerk = Cases(township).registered(), at_hub("clerk")
    inbox = clerk.get("/hub/inbox").text
    assert f"/hub/screening/{opinion_id}" in inbox
    assert "剩余 2 个工作日" in inbox
    assert "2026年11月23日" in clerk.get(screening(opinion_id, "assign")).text, "five working days from Monday"
    sent = clerk.send(screening(opinion_id, "assign"), having="unit", follow=True, co_units="agri", **DISPATCH)
    assert sent.status_code == 200
    for text in ("JB-2026-0001", "水利所", "农业农村办公室", "2026年11月23日", "疏通并答复", "签收栏", "职责清单"):
        assert text in sent.text, text
    case = Cases(township).see(opinion_id)
    assert (case.state.value, case.assignment.term if case.assignment else "") == ("dispatched", "5wd")


def test_a_complex_matter_gets_the_longer_term(at_hub: AtHub, township: Township) -> None:
    cases, clerk = Cases(township), at_hub("clerk")
    opinion_id = cases.registered()
    clerk.send(screening(opinion_id, "assign"), having="unit", is_complex="1", **DISPATCH)
    given = cases.see(opinion_id).assignment
    assert given is not None
    assert given.term == "10wd"


def test_a_refused_dispatch_keeps_what_was_typed_and_names_each_field(at_hub: AtHub, township: Township) -> None:
    cases, clerk = Cases(township), at_hub("clerk")
    opinion_id = cases.registered()
    page = clerk.send(screening(opinion_id, "assign"), having="unit", unit="water", requirement="三日内疏通")
    assert page.status_code == 422
    assert "请填写“职责依据”" in page.text
    assert "三日内疏通" in page.text
    assert re.search(r'<option value="water" selected', page.text)
    assert cases.state(opinion_id) == "registered"


def test_a_form_sent_twice_counts_once_and_leads_on(at_hub: AtHub, township: Township) -> None:
    cases, clerk, handler = Cases(township), at_hub("clerk"), at_hub("handler")
    opinion_id = cases.registered()
    path = screening(opinion_id, "assign")
    typed = {**clerk.form(path, "unit"), **DISPATCH}
    assert [clerk.client.post(path, data=typed).status_code for _ in range(2)] == [302, 302]
    assert len(cases.see(opinion_id).assignments) == 1
    handler.send(f"/hub/desk/{opinion_id}/sign")
    path = f"/hub/desk/{opinion_id}/progress"
    typed = {**handler.form(path, "progress"), "progress": "已派人查看"}
    assert [handler.client.post(path, data=typed).status_code for _ in range(2)] == [302, 302]
    said = [entry for entry in cases.see(opinion_id).timeline if entry.record.kind == "opinion.progressed"]
    assert len(said) == 1


def test_a_form_opened_before_somebody_else_acted_is_refused(at_hub: AtHub, township: Township) -> None:
    cases, clerk, chair = Cases(township), at_hub("clerk"), at_hub("chair")
    opinion_id = cases.registered()
    typed = {**clerk.form(screening(opinion_id, "assign"), "unit"), **DISPATCH}
    chair.send(screening(opinion_id, "assign"), having="unit", **DISPATCH)
    late = clerk.client.post(screening(opinion_id, "assign"), data=typed)
    assert late.status_code == 409
    assert "可能已有人办理" in late.text


def test_transfer_needs_importance_and_a_deputy_or_a_letter(at_hub: AtHub, township: Township) -> None:
    """T9: statutory months, provisional because next year's notice is not out."""
    cases, chair = Cases(township), at_hub("chair")
    opinion_id = cases.registered()
    path = screening(opinion_id, "transfer")
    assert "重要意见" in chair.send(path, having="unit", **DISPATCH).text
    assert chair.send(path, having="unit", widespread="1", adopted_by="", **DISPATCH).status_code == 422
    paper = chair.send(path, having="unit", follow=True, widespread="1", adopted_by="d01", **DISPATCH)
    assert paper.status_code == 200
    for text in ("依法转交单", "3 个月", "暂估", "采纳为建议"):
        assert text in paper.text, text


def test_answering_on_the_spot_and_later(at_hub: AtHub, township: Township) -> None:
    """T6 and T7."""
    cases, clerk = Cases(township), at_hub("clerk")
    now, later = cases.registered(), cases.registered()
    clerk.send(screening(now, "direct"), having="when", when="now", text="每周一开放。", outcome="D", way="face")
    clerk.send(screening(later, "direct"), having="when", when="later", basis="查阅政策后答复")
    assert (cases.state(now), cases.state(later)) == ("replied", "direct")
    assert later in clerk.get("/hub/inbox").text


def test_explaining_asks_for_confirmation_or_two_attempts(at_hub: AtHub, township: Township) -> None:
    """T10."""
    cases, clerk = Cases(township), at_hub("clerk")
    opinion_id = cases.registered()
    typed = {"reason": "N1", "channel": "人民法院", "talk": "已电话说明"}
    assert clerk.send(screening(opinion_id, "explain"), having="reason", attempts="1", **typed).status_code == 422
    assert clerk.send(screening(opinion_id, "explain"), having="reason", attempts="x", **typed).status_code == 422
    assert clerk.send(screening(opinion_id, "explain"), having="reason", attempts="2", **typed).status_code == 302
    assert cases.state(opinion_id) == "explained"


def test_hints_speak_for_a_transfer_when_many_people_or_reports(at_hub: AtHub, township: Township) -> None:
    cases, clerk = Cases(township), at_hub("clerk")
    first, second, third = (cases.registered(category="water", affected=n) for n in (1, 1, 12))
    page = clerk.get(f"/hub/screening/{third}").text
    for text in ("涉及 12 人", "近期同类意见共 3 件", "请报主席决定", "可能重复的意见", first, second):
        assert text in page, text


def test_an_unknown_way_is_not_found(at_hub: AtHub, township: Township) -> None:
    clerk = at_hub("clerk")
    opinion_id = Cases(township).registered()
    assert clerk.send(f"/hub/screening/{opinion_id}", at=screening(opinion_id, "shred")).status_code == 404


# --- the unit's desk -------------------------------------------------------------------------------------------


def test_the_unit_signs_reports_and_its_head_answers(at_hub: AtHub, township: Township) -> None:
    """T11, T15, T19."""
    cases = Cases(township)
    opinion_id = cases.dispatched()
    handler, head = at_hub("handler"), at_hub("head")
    assert opinion_id in handler.get("/hub/desk").text
    handler.send(f"/hub/desk/{opinion_id}/sign")
    handler.send(f"/hub/desk/{opinion_id}/progress", having="progress", progress="已派人查看。")
    assert "填写答复" not in handler.get(f"/opinions/{opinion_id}").text
    path = f"/hub/desk/{opinion_id}/reply"
    assert "已派人查看。" in head.get(path).text, "the head reads what the handler reported"
    for lacking in ({"outcome": "A"}, {"outcome": "B", "plan": "分期"}, {"outcome": "D"}, {"outcome": "E"},
                    {"outcome": "B", "plan": "分期", "promised_on": "不知道"}):  # fmt: skip
        assert head.send(path, having="text", text="已疏通。", **lacking).status_code == 422, lacking
    head.send(path, having="text", text="已列入。", outcome="B", plan="分两期", promised_on="2027-03-01")
    case = cases.see(opinion_id)
    assert case.state.value == "reply_review"
    assert case.assignment is not None
    assert not case.assignment.deemed_signed
    assert opinion_id in head.get("/hub/desk").text


def test_an_empty_report_is_refused_at_its_own_field(at_hub: AtHub, township: Township) -> None:
    opinion_id = Cases(township).handling()
    page = at_hub("handler").send(f"/hub/desk/{opinion_id}/progress", having="progress")
    assert page.status_code == 422
    assert "请填写“进展情况”" in page.text


# --- review ----------------------------------------------------------------------------------------------------


def test_a_reply_goes_back_with_its_defects_and_is_delivered_in_the_end(at_hub: AtHub, township: Township) -> None:
    """T20 and T21."""
    cases, clerk, head = Cases(township), at_hub("clerk"), at_hub("head")
    opinion_id = cases.in_review()
    assert opinion_id in clerk.get("/hub/reviews").text
    review = f"/hub/reviews/{opinion_id}"
    clerk.send(review, at=f"{review}/reject", having="defects", defects="请附照片")
    assert cases.state(opinion_id) == "handling"
    assert "请附照片" in head.get(f"/hub/desk/{opinion_id}/reply").text
    head.send(f"/hub/desk/{opinion_id}/reply", having="text", text="已疏通,附照片。", outcome="A", evidence="照片3张")
    assert clerk.send(review, at=f"{review}/deliver", having="proof", way="phone").status_code == 422
    letter = clerk.send(review, at=f"{review}/deliver", having="proof", way="phone", proof="通话记录", follow=True)
    for text in ("DF-2026-0001", "已疏通,附照片。", "水利所", "15 个工作日"):
        assert text in letter.text, text
    assert cases.state(opinion_id) == "replied"


def test_a_wish_to_reopen_is_granted_and_dispatched_again(at_hub: AtHub, township: Township) -> None:
    """T23 and T24: the second dispatch has its own number and paper; the first stays."""
    cases, clerk = Cases(township), at_hub("clerk")
    opinion_id = cases.replied()
    with township.hub.unit(LIAISON) as unit:
        following_up.ask_reopen(unit, opinion_id, "下雨又堵了")
    assert opinion_id in clerk.get("/hub/reviews").text
    assert "下雨又堵了" in clerk.get(f"/hub/reopenings/{opinion_id}").text
    clerk.send(f"/hub/reopenings/{opinion_id}", having="reason", reason="情况属实")
    assert opinion_id in clerk.get("/hub/inbox").text
    clerk.send(screening(opinion_id, "assign"), having="unit", **DISPATCH)
    numbers = [given.dispatch_no for given in cases.see(opinion_id).assignments]
    assert numbers == ["JB-2026-0001", "JB-2026-0002"]
    first = clerk.get(f"/hub/opinions/{opinion_id}/dispatch-note/1").text
    assert "JB-2026-0001" in first
    assert clerk.get(f"/hub/opinions/{opinion_id}/dispatch-note/3").status_code == 404


def test_the_second_reopening_is_dispatched_by_the_chair_alone(hub_app: Flask, township: Township) -> None:
    cases = Cases(township)
    opinion_id = cases.replied()
    unsolved = FollowUpForm(way="phone", reached=True, solved=False, note="没解决")
    for _ in range(2):
        with township.hub.unit(LIAISON) as unit:
            following_up.follow_up(unit, opinion_id, unsolved)
        if cases.see(opinion_id).reopened < 2:
            cases.replied(opinion_id)
    clerk, chair = seat(hub_app, township.hub, Role.CLERK), seat(hub_app, township.hub, Role.CHAIR)
    assert clerk.post(screening(opinion_id, "assign"), data=DISPATCH).status_code == 403
    assert chair.post(screening(opinion_id, "assign"), data=DISPATCH).status_code == 302


# --- supervision -----------------------------------------------------------------------------------------------


@pytest.fixture
def overdue(township: Township) -> str:
    """A case whose unit never answered, far enough for a yellow card."""
    cases = Cases(township)
    opinion_id = cases.dispatched()
    while not any(card.level == 2 for card in cases.see(opinion_id).cards):
        township.clock.pass_by(days=1)
        escalating.sweep(township.hub)
    return opinion_id


def test_the_board_shows_the_highest_level_and_what_is_owed(at_hub: AtHub, township: Township, overdue: str) -> None:
    board = at_hub("chair").get("/hub/supervision").text
    assert 'id="level-2"' in board
    assert 'id="level-1"' not in board, "a case stands once, at its highest level"
    for text in ("黄牌", "DB-2026-", "待反馈", overdue):
        assert text in board, text


def test_the_unit_answers_its_cards_from_its_desk(at_hub: AtHub, township: Township, overdue: str) -> None:
    head = at_hub("head")
    assert "督办待反馈" in head.get("/hub/desk").text
    card = f"/hub/supervision/{overdue}/K2/1/2"
    assert "请填写“反馈情况”" in head.send(card, at=f"{card}/answer", having="feedback").text
    assert "明日完工" in head.send(card, at=f"{card}/answer", having="feedback", feedback="明日完工", follow=True).text


def test_the_chair_revokes_with_a_reason_and_the_record_stays(at_hub: AtHub, township: Township, overdue: str) -> None:
    chair, card = at_hub("chair"), f"/hub/supervision/{overdue}/K2/1/2"
    assert chair.send(card, at=f"{card}/revoke", having="reason").status_code == 422
    page = chair.send(card, at=f"{card}/revoke", having="reason", reason="已口头说明", follow=True).text
    assert "已口头说明" in page
    board = chair.get("/hub/supervision").text
    assert "近期已撤销" in board
    assert 'id="level-1"' in board, "the urging is what counts now"
    again = seat(chair.client.application, township.hub, Role.CHAIR).post(f"{card}/revoke", data={"reason": "再撤"})
    assert again.status_code == 422


def test_the_card_on_paper_has_every_field(at_hub: AtHub, overdue: str) -> None:
    paper = at_hub("clerk").get(f"/hub/supervision/{overdue}/K2/1/2/print").text
    for text in ("黄牌督办单", "DB-2026-", "JB-2026-0001", "水利所", "反馈期限", "签收栏", "承办单位负责人(水利所)"):
        assert text in paper, text


def test_the_presidium_selects_a_key_item(at_hub: AtHub, township: Township) -> None:
    cases, presidium = Cases(township), at_hub("presidium")
    opinion_id = cases.dispatched()
    presidium.send(f"/hub/supervision/key/{opinion_id}", having="reason", reason="全镇关注")
    assert cases.see(opinion_id).key_item == "全镇关注"


# --- helping units ---------------------------------------------------------------------------------------------


def test_a_helping_unit_reads_the_case_and_leaves_the_steps_to_the_unit_in_charge(
    hub_app: Flask, township: Township, at_hub: AtHub
) -> None:
    opinion_id, clerk = Cases(township).registered(), at_hub("clerk")
    clerk.send(screening(opinion_id, "assign"), having="unit", co_units="agri", **DISPATCH)
    helping = seat(hub_app, township.hub, Role.UNIT_HEAD, unit="agri")
    stranger = seat(hub_app, township.hub, Role.UNIT_HEAD, unit="roads")
    desk = helping.get("/hub/desk").text
    assert "会办" in desk
    assert f"/opinions/{opinion_id}" in desk
    assert helping.get(f"/opinions/{opinion_id}").status_code == 200
    assert helping.post(f"/hub/desk/{opinion_id}/sign").status_code == 403
    assert f"/opinions/{opinion_id}" not in stranger.get("/hub/desk").text
    assert stranger.get(f"/opinions/{opinion_id}").status_code == 404
