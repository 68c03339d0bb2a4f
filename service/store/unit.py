"""One unit of work: a transaction, somebody acting, and one moment in time.

`record` appends facts to the ledger; on leaving, the touched subjects are folded into the read tables and all of
it commits at once, so that what is shown is what was recorded. Only after the commit are jobs nudged. If anything
fails, nothing happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from config import jobs
from service.domain import facts as f
from service.domain.office_hours import local_date
from service.domain.opinion_fold import fold
from service.domain.opinions import Opinion, State
from service.domain.people import Actor
from service.domain.policy import Policy
from service.domain.record import Author, Recorded
from service.domain.refusals import NotFound
from service.domain.town import Town
from service.store import codec, judged, node_facts, tables
from service.store.projectors import Folding, open_opinions, project
from service.store.vault import StationSeal
from sync import epochs, peers
from sync.events import Event, EventDraft, Scope, Subject

if TYPE_CHECKING:
    from service.node import Node

MOVES_COVERAGE = ("reception/", "station/", "area/", "town/")  # subjects the coverage view is compiled from


@dataclass(slots=True, kw_only=True)
class Unit:
    """Handed to every action. `now` stands still for the whole unit."""

    connection: Connection
    node: Node
    actor: Actor
    now: datetime
    town: Town
    has_emptied: bool = False  # attached content was erased: its files go after the commit
    _touched: dict[Subject, None] = field(default_factory=dict)
    _issued: dict[str, int] = field(default_factory=dict)
    _nudges: set[str] = field(default_factory=set)

    @property
    def is_hub(self) -> bool:
        return self.node.is_hub

    @property
    def policy(self) -> Policy:
        """The terms in force today."""
        return self.town.policy_on(self.now.date())

    @property
    def today(self) -> date:
        """The day by the town's clocks."""
        return local_date(self.now, self.policy.hours)

    @property
    def seal(self) -> StationSeal:
        return self.node.seal

    def record(
        self, subject: str, fact: f.Fact, *, scope: Scope, once: str | None = None, later: bool = False
    ) -> Event:
        """Append the fact; raises sync.errors.AlreadyRecorded when `once` was used in this scope before.

        `later` leaves the fold of its subject to the sweep, which can set it aside when it fails.
        """
        draft = EventDraft(
            kind=fact.KIND, version=fact.VERSION, subject=Subject(subject), body=codec.encode(fact),
            occurred_at=self.now, author=str(self._author()), once=once,
        )  # fmt: skip
        event = self.node.ledger.append(self.connection, scope, [draft])[0]
        if later:
            self.sweep_later(subject)
        else:
            self._touched[draft.subject] = None
        return event

    def sweep_later(self, subject: str) -> None:
        """Leave the fold of a subject to the sweep, once this unit has committed."""
        self.node.ledger.mark_pending(self.connection, [Subject(subject)])
        self._nudges.update((jobs.PROJECTION,) if self.is_hub else (jobs.PROJECTION, jobs.EXCHANGE))

    def opinion(self, opinion_id: str) -> Opinion:
        """The opinion as the ledger has it now, locked until the unit ends. Raises NotFound."""
        subject = Subject(f"opinion/{opinion_id}")
        self.node.ledger.lock_subjects(self.connection, [subject])
        opinion = fold(opinion_id, self.records(subject))
        if opinion.state is State.NEW:
            raise NotFound("opinion", opinion_id)
        return opinion

    def records(self, subject: str) -> list[Recorded]:
        """The facts of a subject, in order."""
        events = self.node.ledger.read_subjects(self.connection, [Subject(subject)])
        return judged.records(events.get(Subject(subject), []), self.node.hub_nodes)

    def next_number(self, series: str) -> str:
        """The next number of a series such as `QD-2026`: `QD-2026-0001`. Unique on this node.

        The series is locked until the unit ends; numbers are never reused, also when the read tables are rebuilt.
        While this node may not know every number it gave out (restored, and not equal to its peers since), it counts in
        a series of its own: `QD1-2026-0001`.
        """
        series = self._in_doubt(series)
        self.node.ledger.lock_subjects(self.connection, [Subject(f"number/{series}")])
        query = select(tables.numbers.c.last).where(tables.numbers.c.series == series)
        used = max(self.connection.execute(query).scalar() or 0, self._issued.get(series, 0))
        self._issued[series] = used + 1
        return f"{series}-{used + 1:04d}"

    def station_scope(self, station: str) -> Scope:
        return self.node.station_scope(station)

    @property
    def public_scope(self) -> Scope:
        return self.node.public_scope

    def new_id(self) -> str:
        return self.node.new_id()

    def nudge(self, job: str) -> None:
        """Ask for a job once this unit has committed."""
        self._nudges.add(job)

    def _in_doubt(self, series: str) -> str:
        if not self.is_hub and not peers.was_ever_verified(self.connection):
            code, dash, year = series.partition("-")  # a new computer of a station that may have given out numbers
            return f"{code}00{dash}{year}"
        opened = epochs.opened(self.connection)
        if not opened or peers.all_verified_since(self.connection, opened[-1].opened_at, self.node.settings.town):
            return series
        code, dash, year = series.partition("-")
        return f"{code}{opened[-1].number}{dash}{year}"

    def finish(self) -> frozenset[str]:
        """Fold what was touched; the jobs to nudge after the commit. Called by `Node.unit` alone."""
        if self._touched:
            subjects = sorted(self._touched)
            self.node.ledger.lock_subjects(self.connection, subjects)
            folding = Folding(town=self.town, hub_nodes=self.node.hub_nodes, tree=self.node.settings.town,
                              blobs=self.node.blobs)  # fmt: skip
            if project(self.connection, self.node.ledger, subjects, folding):
                self._after_master_data(subjects)
            self._nudges.update(self._follow_ups(subjects))
        return frozenset(self._nudges)

    def _after_master_data(self, subjects: list[Subject]) -> None:
        """A new calendar or policy moves open clocks: their opinions are folded again by the sweep."""
        node_facts.masters_changed(self.connection)
        if any(subject.startswith(("calendar/", "policy/")) for subject in subjects):
            self.node.ledger.mark_pending(self.connection, open_opinions(self.connection))
            self._nudges.add(jobs.PROJECTION)

    def _follow_ups(self, subjects: list[Subject]) -> Iterator[str]:
        if not self.is_hub:
            yield jobs.EXCHANGE
        elif any(subject.startswith(MOVES_COVERAGE) for subject in subjects):
            yield jobs.COVERAGE

    def _author(self) -> Author:
        return Author(role=self.actor.role.value, account=self.actor.account, name=self.actor.name)
