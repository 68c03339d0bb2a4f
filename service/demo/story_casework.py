"""The story's one opinion from screening to closing: the hub's desks, the water office, and the clock in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import select

from config import jobs
from service.demo.browser import Browser
from service.demo.playing import STATION, Story, expect, seen, until
from service.demo.township import HUB
from service.domain.office_hours import local_date
from service.domain.opinions import Opinion
from service.store import station_queries
from service.store.queries import OpinionFilter
from service.store.tables import opinions

UNIT = "water"
YELLOW = 2
CLOCK_MOVES_MAX = 8


@contextmanager
def case(story: Story, home: str) -> Iterator[Opinion]:
    """The opinion as one node's ledger has it."""
    with story.node(home) as node, node.reading() as connection:
        found = station_queries.case(connection, node.ledger, node.hub_nodes, story.opinion, OpinionFilter())
        assert found is not None, f"the opinion is not at {home}"
        yield found


def state_at(story: Story, home: str) -> str:
    with case(story, home) as opinion:
        return opinion.state.value


def dispatch(story: Story) -> None:
    """The clerk reads what came in and assigns it to the water office within its duties."""
    clerk = story.sign_in(HUB, "clerk")
    seen(clerk.open("/hub/inbox"), "村口排水沟堵塞")
    screening = seen(clerk.open(f"/hub/screening/{story.opinion}/assign"))
    paper = clerk.send(
        screening.form(f"/hub/screening/{story.opinion}/assign"), unit=UNIT,
        requirement="五个工作日内疏通排水沟并答复群众。", duty_basis="排水沟渠属水利所职责",
    )  # fmt: skip
    seen(paper, "JB-2026-0001")
    expect(state_at(story, HUB) == "dispatched", f"after the dispatch it is {state_at(story, HUB)}")
    seen(story.sign_in(HUB, "water").open("/hub/desk"), "村口排水沟堵塞")
    with case(story, HUB) as opinion:
        assert opinion.assignment is not None
        story.counted |= {"dispatch_no": opinion.assignment.dispatch_no, "term": opinion.assignment.term}


# --- the clock moves on ----------------------------------------------------------------------------------------


def escalate(story: Story) -> None:
    """The office stays silent. The clock goes from one due instant to the next until the yellow card is out."""
    for _ in range(CLOCK_MOVES_MAX):
        if _highest(story) >= YELLOW:
            break
        _to_the_next_step(story)
    expect(_highest(story) >= YELLOW, "no yellow card although nobody signed or answered")
    _judge_cards(story)
    seen(story.sign_in(HUB, "chair").open("/hub/supervision"), "村口排水沟堵塞")


def _judge_cards(story: Story) -> None:
    """Each level once; the yellow card on the first working morning after two working days without feedback."""
    with story.node(HUB) as hub, hub.reading() as connection:
        calendar = hub.town(connection).calendar
    with case(story, HUB) as opinion:
        cards, assignment = list(opinion.cards), opinion.assignment
    keys = [(card.clock, card.level, card.mark) for card in cards]
    days = {card.level: local_date(card.fired_at) for card in reversed(cards)}
    expect(set(days) == {0, 1, 2}, f"levels fired: {sorted(days)}")
    expect(len(keys) == len(set(keys)), "a level fired twice")
    expect(assignment and assignment.deemed_signed, "it was not deemed signed")
    answer_by = next(card.feedback_due for card in cards if card.level == 1)
    assert answer_by is not None
    waited_wd = calendar.working_days_between(days[1], answer_by).days
    expect(waited_wd == 2, f"the office had {waited_wd} working days to answer the urging, not 2")
    expect(days[2] == calendar.next_workday(answer_by).day, f"the yellow card came on {days[2]}")
    story.counted |= {
        "cards": {f"L{level}": days[level].isoformat() for level in sorted(days)}, "cards_fired": len(keys),
        "deemed_signed": True, "working_days_from_urging_to_yellow": waited_wd,
    }  # fmt: skip


def _highest(story: Story) -> int:
    with case(story, HUB) as opinion:
        return max((card.level for card in opinion.cards), default=-1)


def _next_step_at(story: Story) -> datetime:
    with story.node(HUB) as hub, hub.reading() as connection:
        query = select(opinions.c.next_step_at).where(opinions.c.id == story.opinion)
        at: datetime | None = connection.execute(query).scalar_one()
    expect(at, "nothing is due any more")
    assert at is not None
    return at


def _to_the_next_step(story: Story) -> None:
    """A minute after it is due, the hub's worker has done what is due."""
    due = _next_step_at(story)
    story.township.clock.set_to(max(story.township.clock(), due + timedelta(minutes=1)))
    story.ring(jobs.ESCALATION)
    until(lambda: _next_step_at(story) > due, f"what is due at {due:%Y-%m-%d %H:%M} UTC is done")


def seen_at_station(story: Story) -> None:
    """The villager comes to ask; the screen has every step."""
    story.exchange()
    browser = story.sign_in(STATION, f"{STATION}.liaison")
    seen(browser.open(f"/opinions/{story.opinion}"), "水利所", "催办", "黄牌", "视为签收")
    with case(story, STATION) as here, case(story, HUB) as there:
        expect(here.cards == there.cards, "the station's cards differ from the hub's")
        story.counted["cards_at_station"] = len(here.cards)


# --- reply, review, closing ------------------------------------------------------------------------------------


def reply(story: Story) -> None:
    """The office's head answers, the clerk sends it back once for being thin, then reviews and delivers it."""
    head = story.sign_in(HUB, "water.head")
    clerk = story.sign_in(HUB, "clerk")
    _submit(story, head, "已安排疏通。", "现场照片一张")
    page = seen(clerk.open(f"/hub/reviews/{story.opinion}"))
    clerk.send(page.form("/reject"), defects="请写明疏通日期和长度。")
    _submit(story, head, "11月27日已疏通排水沟120米,清运淤泥两车。(虚构)", "现场照片两张、验收签字")
    page = seen(clerk.open(f"/hub/reviews/{story.opinion}"), "疏通排水沟120米")
    letter = clerk.send(page.form("/deliver"), way="phone", proof="电话告知,通话记录")
    seen(letter, "DF-2026-0001")
    expect(state_at(story, HUB) == "replied", f"after the delivery it is {state_at(story, HUB)}")
    with case(story, HUB) as opinion:
        story.counted |= {"replies": len(opinion.replies), "outcome": opinion.outcome}


def _submit(story: Story, head: Browser, text: str, evidence: str) -> None:
    page = seen(head.open(f"/hub/desk/{story.opinion}/reply"))
    head.send(page.form("/reply"), text=text, outcome="A", evidence=evidence)
    expect(state_at(story, HUB) == "reply_review", f"after the reply it is {state_at(story, HUB)}")


def close(story: Story) -> None:
    """The liaison officer telephones, the citizen is satisfied, the case is closed; an exchange tells the hub."""
    story.exchange()
    liaison = story.sign_in(STATION, f"{STATION}.liaison")
    steps = f"/opinions/{story.opinion}/steps"
    page = seen(liaison.open(f"{steps}/follow-up"))
    liaison.send(page.form("/follow-up"), way="phone", reached="yes", solved="yes", rating="satisfied")
    page = seen(liaison.open(f"{steps}/close"))
    liaison.send(page.form("/close"), note="群众确认已疏通。")
    expect(state_at(story, STATION) == "closed", f"at the station it is {state_at(story, STATION)}")
    story.exchange()
    until(lambda: state_at(story, HUB) == "closed", "the hub shows the case closed")
    with case(story, STATION) as here, case(story, HUB) as there:
        expect(here.timeline and len(here.timeline) == len(there.timeline), "the timelines differ in length")
        story.counted |= {"state": there.state.value, "timeline": len(there.timeline),
                          "rating": there.rating.overall if there.rating else ""}  # fmt: skip


def ask_by_code(story: Story) -> None:
    """With the code from the receipt, at the hub's public page; no name is on it."""
    citizen = Browser(story.township.addresses[HUB])
    story.browsers.append(citizen)
    page = citizen.send(seen(citizen.open("/p")).form("/p"), code=story.tracking_code)
    seen(page, "QD-2026-0001")
    expect("蔡阿婆" not in page.html, "the public page shows a name")
