"""Reading: every list and count the pages show, out of the read tables.

Rows come back as frozen values. What an actor may see is part of the question (`OpinionFilter.within`), so that no
page can forget it. Lists are paged by key, never by offset: the thousandth page costs what the first one does, and
a case registered meanwhile neither shows twice nor slips through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, literal, or_, select

from service.domain.opinions import ENDED, OPEN, WITH_UNIT, State
from service.domain.people import Actor, Step
from service.store.tables import cards, opinions, receptions

PAGE = 25
NOWHERE = "-"  # no station or unit has this code
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FAR = datetime(9999, 1, 1, tzinfo=UTC)  # where a case without a due date sorts

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionRow:
    """One opinion as lists show it. The clock fields speak of the one clock that urges somebody now, if any."""

    id: str
    reg_no: str
    station: str
    title: str
    source: str
    category: str
    area: str
    affected: int
    urgency: str
    sensitive: bool
    state: State
    route: str
    unit: str
    co_units: str
    dispatch_no: str
    outcome: str
    registered_at: datetime
    received_at: datetime
    dispatched_at: datetime | None
    signed_at: datetime | None
    delivered_at: datetime | None
    closed_at: datetime | None
    reopened: int
    reopen_asked: bool
    clock: str
    clock_kind: str
    due_on: date | None
    due_at: datetime | None
    provisional: bool
    level: int  # highest card that was not revoked, -1 = none
    unknown: int  # facts of a newer version

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def is_overdue(self, now: datetime) -> bool:
        return self.due_at is not None and now > self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRow:
    """A fired level, with the case it belongs to."""

    opinion: str
    reg_no: str
    title: str
    state: State
    station: str
    unit: str
    clock: str
    level: int
    mark: str
    doc_no: str
    fired_at: datetime
    feedback_due: date | None
    feedback_at: datetime | None
    revoked: bool
    due_on: date | None
    provisional: bool

    def awaits_feedback(self) -> bool:
        return self.level >= 1 and self.feedback_at is None and not self.revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptionRow:
    """A reception that took place; `area` "" = at the station itself."""

    id: str
    held_on: date
    station: str
    area: str
    headcount: int
    note: str
    withdrawn: bool


class Order(StrEnum):
    """NEWEST registered first, or what is DUE soonest first (without a due date last)."""

    NEWEST = "newest"
    DUE = "due"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionFilter:
    """Which opinions; None and "" leave a field open. `text` looks in title and numbers.

    `unit` handles a case (主办), `co_unit` helps (会办), `involves` is either.
    """

    station: str | None = None
    involves: str | None = None
    unit: str = ""
    co_unit: str = ""
    states: frozenset[State] = frozenset()
    area: str = ""
    category: str = ""
    route: str = ""
    outcome: str = ""
    urgency: str = ""
    text: str = ""
    registered_from: datetime | None = None
    registered_until: datetime | None = None
    due_until: datetime | None = None
    overdue_at: datetime | None = None
    level_at_least: int | None = None
    reopen_asked: bool | None = None
    reopened: bool | None = None

    @classmethod
    def within(cls, actor: Actor) -> OpinionFilter:
        """Everything this actor may see: a station its own cases, a unit what it handles or helps with.

        An administrator keeps the accounts and sees no opinion at all.
        """
        if not actor.may(Step.SEE_OPINIONS):
            return cls(station=NOWHERE, involves=NOWHERE)
        return cls(station=actor.station, involves=(actor.unit or NOWHERE) if actor.of_unit else None)

    def narrowed(self, **changes: Any) -> OpinionFilter:
        """The same with more fields set; the actor's own bounds cannot be widened by what a form says."""
        kept = {name: value for name, value in changes.items() if not self._bounds(name)}
        return replace(self, **kept)

    def admits(self, row: OpinionRow) -> bool:
        """Whether the actor's own bounds let this case be seen."""
        involved = (row.unit, *row.co_units.strip(",").split(","))
        return self.station in (None, row.station) and (self.involves is None or self.involves in involved)

    def _bounds(self, name: str) -> bool:
        return name in ("station", "involves") and getattr(self, name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[_R]):
    """Some rows, and the key after which the next ones come; None = these were the last."""

    rows: tuple[_R, ...]
    after: str | None = None


# --- opinions --------------------------------------------------------------------------------------------------

_OPINION = [opinions.c[field.name] for field in fields(OpinionRow)]


def opinion(connection: Connection, opinion_id: str) -> OpinionRow | None:
    found = connection.execute(select(*_OPINION).where(opinions.c.id == opinion_id)).mappings().one_or_none()
    return _opinion_row(found) if found is not None else None


def opinion_by_tracking(connection: Connection, tracking: str) -> OpinionRow | None:
    """The opinion whose tracking code has this hash."""
    query = select(*_OPINION).where(opinions.c.tracking == tracking)
    found = connection.execute(query).mappings().first()
    return _opinion_row(found) if found is not None else None


def list_opinions(
    connection: Connection,
    wanted: OpinionFilter,
    *,
    order: Order = Order.NEWEST,
    after: str | None = None,
    limit: int = PAGE,
) -> Page[OpinionRow]:
    """A page of opinions. `after` is what the previous page gave; anything else there starts from the top."""
    query = select(*_OPINION).where(*_conditions(wanted)).limit(limit + 1)
    found = connection.execute(_ordered(query, order, _parse_key(after))).mappings().all()
    rows = tuple(_opinion_row(row) for row in found[:limit])
    return Page(rows=rows, after=_key(rows[-1], order) if len(found) > limit else None)


def count_opinions(connection: Connection, wanted: OpinionFilter) -> int:
    return connection.execute(select(func.count()).select_from(opinions).where(*_conditions(wanted))).scalar_one()


def count_by_state(connection: Connection, wanted: OpinionFilter) -> dict[State, int]:
    """How many opinions stand in each state that occurs."""
    query = select(opinions.c.state, func.count()).where(*_conditions(wanted)).group_by(opinions.c.state)
    return {State(state): count for state, count in connection.execute(query)}


def similar_opinions(
    connection: Connection, like: OpinionRow, *, since: datetime, limit: int = 5
) -> tuple[OpinionRow, ...]:
    """可能重复的意见: same village and category, registered since then; newest first."""
    query = (
        select(*_OPINION)
        .where(
            opinions.c.area == like.area, opinions.c.category == like.category, opinions.c.id != like.id,
            opinions.c.registered_at >= since, opinions.c.state.not_in([State.VOID.value, State.WITHDRAWN.value]),
        )
        .order_by(opinions.c.registered_at.desc())
        .limit(limit)
    )  # fmt: skip
    return tuple(_opinion_row(row) for row in connection.execute(query).mappings())


def _conditions(wanted: OpinionFilter) -> list[ColumnElement[bool]]:
    c = opinions.c
    given = {c.unit: wanted.unit, c.area: wanted.area, c.category: wanted.category, c.route: wanted.route,
             c.outcome: wanted.outcome, c.urgency: wanted.urgency}  # fmt: skip
    found = [column == value for column, value in given.items() if value]
    if wanted.station is not None:
        found.append(c.station == wanted.station)
    if wanted.involves is not None:
        found.append(or_(c.unit == wanted.involves, _helps(wanted.involves)))
    if wanted.co_unit:
        found.append(_helps(wanted.co_unit))
    if wanted.states:
        found.append(c.state.in_(sorted(state.value for state in wanted.states)))
    return [*found, *_times(wanted), *_marks(wanted)]


def _helps(unit: str) -> ColumnElement[bool]:
    return opinions.c.co_units.contains(f",{unit},", autoescape=True)


def _times(wanted: OpinionFilter) -> Iterable[ColumnElement[bool]]:
    c = opinions.c
    if wanted.registered_from is not None:
        yield c.registered_at >= wanted.registered_from
    if wanted.registered_until is not None:
        yield c.registered_at < wanted.registered_until
    if wanted.due_until is not None:
        yield c.due_at <= wanted.due_until
    if wanted.overdue_at is not None:
        yield c.due_at < wanted.overdue_at


def _marks(wanted: OpinionFilter) -> Iterable[ColumnElement[bool]]:
    c = opinions.c
    if wanted.level_at_least is not None:
        yield c.level >= wanted.level_at_least
    if wanted.reopen_asked is not None:
        yield c.reopen_asked.is_(wanted.reopen_asked)
    if wanted.reopened is not None:
        yield c.reopened > 0 if wanted.reopened else c.reopened == 0
    if wanted.text.strip():
        words = wanted.text.strip()
        yield or_(*(column.icontains(words, autoescape=True) for column in (c.title, c.reg_no, c.dispatch_no)))


def _ordered(query: Select[Any], order: Order, after: tuple[datetime, str] | None) -> Select[Any]:
    if order is Order.NEWEST:
        at, key = opinions.c.registered_at, opinions.c.id
        if after is not None:
            query = query.where(or_(at < after[0], and_(at == after[0], key < after[1])))
        return query.order_by(at.desc(), key.desc())
    due = func.coalesce(opinions.c.due_at, literal(_FAR, opinions.c.due_at.type))
    if after is not None:
        query = query.where(or_(due > after[0], and_(due == after[0], opinions.c.id > after[1])))
    return query.order_by(due, opinions.c.id)


def _key(row: OpinionRow, order: Order) -> str:
    at = row.registered_at if order is Order.NEWEST else row.due_at or _FAR
    return f"{(at - _EPOCH) // _MICROSECOND}.{row.id}"


def _parse_key(text: str | None) -> tuple[datetime, str] | None:
    """What `_key` made; None for anything else, as the text comes from an address line."""
    micros, _, key = (text or "").partition(".")
    try:
        return _EPOCH + timedelta(microseconds=int(micros)), key
    except (ValueError, OverflowError):
        return None


def _opinion_row(found: RowMapping) -> OpinionRow:
    return OpinionRow(**{**found, "state": State(found["state"])})


# --- supervision -----------------------------------------------------------------------------------------------

_ON_ITS_CLOCK = and_(cards.c.opinion == opinions.c.id, cards.c.clock == opinions.c.clock)
_CARD = [
    cards.c.opinion, opinions.c.reg_no, opinions.c.title, opinions.c.state, cards.c.station, cards.c.unit,
    cards.c.clock, cards.c.level, cards.c.mark, cards.c.doc_no, cards.c.fired_at, cards.c.feedback_due,
    cards.c.feedback_at, cards.c.revoked, opinions.c.due_on, opinions.c.provisional,
]  # fmt: skip


def supervised(
    connection: Connection, level: int, *, unit: str | None = None, station: str | None = None, limit: int = 100
) -> tuple[CardRow, ...]:
    """Cases whose running clock has reached exactly this level, longest overdue first; one row each."""
    query = _supervised(level, unit, station).order_by(opinions.c.due_at, cards.c.opinion).limit(limit)
    found = connection.execute(query.with_only_columns(*_CARD)).mappings()
    latest: dict[str, CardRow] = {}
    for row in found:
        card = _card_row(row)
        kept = latest.get(card.opinion)
        if kept is None or kept.fired_at < card.fired_at:
            latest[card.opinion] = card
    return tuple(latest.values())


def count_supervised(connection: Connection, *, unit: str | None = None, station: str | None = None) -> dict[int, int]:
    """Cases by the highest level their running clock has reached, 0 to 4."""
    found: dict[int, int] = {}
    for level in range(5):
        query = _supervised(level, unit, station).with_only_columns(func.count(cards.c.opinion.distinct()))
        found[level] = connection.execute(query).scalar_one()
    return found


def _supervised(level: int, unit: str | None, station: str | None) -> Select[Any]:
    higher = cards.alias("higher")
    above = select(higher.c.clock).where(
        higher.c.clock == cards.c.clock, higher.c.level > level, higher.c.revoked.is_(False)
    )
    query = select(cards.c.opinion).join(opinions, _ON_ITS_CLOCK)
    query = query.where(cards.c.level == level, cards.c.revoked.is_(False), ~above.exists())
    for column, value in ((cards.c.unit, unit), (cards.c.station, station)):
        query = query.where(column == value) if value is not None else query
    return query


def cards_awaiting_feedback(connection: Connection, unit: str, *, limit: int = 50) -> tuple[CardRow, ...]:
    """Cards this unit has not answered yet, most urgent first; closed cases no longer ask."""
    query = (
        select(*_CARD)
        .join(opinions, cards.c.opinion == opinions.c.id)
        .where(
            cards.c.unit == unit, cards.c.level >= 1, cards.c.revoked.is_(False), cards.c.feedback_at.is_(None),
            opinions.c.unit == unit, opinions.c.state.in_(sorted(state.value for state in WITH_UNIT)),
        )
        .order_by(cards.c.level.desc(), cards.c.fired_at)
        .limit(limit)
    )  # fmt: skip
    return tuple(_card_row(row) for row in connection.execute(query).mappings())


def revoked_cards(connection: Connection, *, since: datetime, limit: int = 20) -> tuple[CardRow, ...]:
    """Cards that were taken back, newest first: the record stays."""
    query = (
        select(*_CARD)
        .join(opinions, cards.c.opinion == opinions.c.id)
        .where(cards.c.revoked.is_(True), cards.c.fired_at >= since)
        .order_by(cards.c.fired_at.desc())
        .limit(limit)
    )
    return tuple(_card_row(row) for row in connection.execute(query).mappings())


def _card_row(found: RowMapping) -> CardRow:
    return CardRow(**{**found, "state": State(found["state"])})


# --- receptions ------------------------------------------------------------------------------------------------


def list_receptions(
    connection: Connection, *, station: str | None = None, since: date, until: date, limit: int = 100
) -> tuple[ReceptionRow, ...]:
    """Receptions held from `since` to `until`, both included, newest first; withdrawn ones are left out."""
    query = (
        select(*[receptions.c[field.name] for field in fields(ReceptionRow)])
        .where(*_held(station, since, until))
        .order_by(receptions.c.held_on.desc(), receptions.c.id)
        .limit(limit)
    )
    return tuple(ReceptionRow(**row) for row in connection.execute(query).mappings())


@dataclass(frozen=True, slots=True)
class ReceptionCount:
    """Receptions held, and the people who came (人次)."""

    sessions: int
    headcount: int


def count_receptions(connection: Connection, *, station: str | None = None, since: date, until: date) -> ReceptionCount:
    query = select(func.count(), func.coalesce(func.sum(receptions.c.headcount), 0)).where(
        *_held(station, since, until)
    )
    sessions, headcount = connection.execute(query).one()
    return ReceptionCount(sessions, int(headcount))


def _held(station: str | None, since: date, until: date) -> Sequence[ColumnElement[bool]]:
    found = [receptions.c.withdrawn.is_(False), receptions.c.held_on >= since, receptions.c.held_on <= until]
    return [*found, receptions.c.station == station] if station is not None else found


# --- queues ----------------------------------------------------------------------------------------------------

INBOX = frozenset({State.REGISTERED})
TO_ANSWER = frozenset({State.DIRECT})
AT_UNIT = frozenset(WITH_UNIT)
TO_REVIEW = frozenset({State.REPLY_REVIEW})
TO_FOLLOW_UP = frozenset({State.REPLIED})
TO_REDISPATCH = frozenset({State.REOPENED})
FINISHED = frozenset(ENDED)
