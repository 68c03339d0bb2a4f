"""What must hold once everything is healed; whatever does not is a sentence, and none is the only good number."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from service.actions.syncing import sync_state
from service.demo.processes import ROOT, inherited
from service.demo.township import HUB
from service.domain import facts as f
from service.node import Node
from service.store import codec
from service.store.tables import opinions
from sync.blobs import BlobState
from sync.events import Scope
from sync.positions import Heads
from tests.chaos.people import TITLE, Promises
from tests.chaos.stage import Stage

HEAL_PATIENCE_S = 420.0  # the product's own longest pause is five minutes
TELL_EVERY_S = 15


@dataclass(slots=True, kw_only=True)
class Verdict:
    """Sentences by what they are about, and the figures they were computed from."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicated or self.stuck or self.wrong)

    def sentences(self) -> Iterator[str]:
        for what in ("lost", "duplicated", "stuck", "wrong"):
            yield from (f"{what}: {sentence}" for sentence in getattr(self, what))


def judge(stage: Stage, promises: list[Promises], keep_up: Callable[[], None], say: Callable[[str], None]) -> Verdict:
    """Wait until nothing is left to do, then compare what is there with what was promised."""
    verdict = Verdict()
    with ExitStack() as opened:
        nodes = {home: opened.enter_context(stage.node(home)) for home in stage.addresses}
        began, told = time.monotonic(), 0
        while (waiting := list(_waiting(nodes))) and (waited_s := time.monotonic() - began) < HEAL_PATIENCE_S:
            if waited_s >= told * TELL_EVERY_S:
                told += 1
                say("; ".join(waiting))
            time.sleep(1.0)
            keep_up()
        verdict.stuck += waiting
        verdict.figures["healed_after_s"] = round(time.monotonic() - began, 1)
        verdict.figures["streams_equal"] = sum(len(_heads(nodes[HUB], nodes[home], home)) for home in stage.stations)
        _compare_promises(nodes[HUB], promises, verdict)
    _run_check(stage, verdict)
    return verdict


def _waiting(nodes: dict[str, Node]) -> Iterator[str]:
    """Everything that is not finished, each with what the node itself says about it."""
    for home, node in nodes.items():
        with node.reading() as connection:
            if home != HUB:
                state = sync_state(node, connection)
                assert state is not None
                if not state.verified or state.reason:
                    yield f"{home}: not verified equal, {state.unsent} unsent, reason {state.reason or 'none'!r}"
            if pending := node.ledger.pending_count(connection):
                yield f"{home}: {pending} subjects wait to be folded"
            if aside := node.ledger.quarantined(connection):
                yield f"{home}: {len(aside)} set aside, the first: {aside[0].subject} {aside[0].reason}"
            if lacking := node.blobs.lacking(connection, (node.town_scope,)):
                yield f"{home}: {len(lacking)} photos are not whole"
    yield from _overdue(nodes[HUB])
    yield from _unequal(nodes)


def _overdue(hub: Node) -> Iterator[str]:
    with hub.reading() as connection:
        due = select(func.count()).select_from(opinions).where(opinions.c.next_step_at <= hub.now())
        if count := connection.execute(due).scalar_one():
            yield f"{HUB}: {count} steps of the ladder are due and not done"


def _unequal(nodes: dict[str, Node]) -> Iterator[str]:
    """Number and digest of every stream that both hold, read from the two databases."""
    for home in nodes.keys() - {HUB}:
        mine, theirs = (_heads(nodes[end], nodes[home], home) for end in (home, HUB))
        if mine != theirs:
            yield f"{home}: streams differ from the hub's"


def _heads(holder: Node, station: Node, code: str) -> Heads:
    with holder.reading() as connection:
        return holder.ledger.heads(connection, [station.public_scope, Scope(station.station_scope(code))])


def _compare_promises(hub: Node, promises: list[Promises], verdict: Verdict) -> None:
    """Every acknowledged form is at the hub once, by its own number; none that nobody sent is there."""
    facts = _facts(hub)
    sent = [(one.title.removeprefix(TITLE), id_) for id_, one in facts if _is_theirs(one)]
    registered, by_number = Counter(number for number, _ in sent), dict(sent)
    acknowledged = {number: id_ for one in promises for number, id_ in one.opinions.items()}
    left_open = set().union(*(one.unanswered for one in promises))
    verdict.lost += [f"opinion {id_}" for number, id_ in acknowledged.items() if by_number.get(number) != id_]
    verdict.duplicated += [f"opinion of form {number}: {n} times" for number, n in registered.items() if n > 1]
    verdict.wrong += [f"form {number} was never sent" for number in by_number.keys() - acknowledged - left_open]
    dispatched = Counter(id_ for id_, one in facts if isinstance(one, f.Dispatched))
    promised = set().union(*(one.dispatched for one in promises))
    verdict.lost += [f"dispatch of {id_}" for id_ in promised if not dispatched[id_]]
    verdict.duplicated += [f"dispatch of {id_}: {n} times" for id_, n in dispatched.items() if n > 1]
    photos = _compare_photos(hub, facts, set().union(*(one.photos for one in promises)), verdict)
    verdict.figures |= {
        "opinions_acknowledged": len(acknowledged), "dispatches_acknowledged": len(promised),
        "photos_acknowledged": photos, "unanswered": len(left_open),
        "of_these_at_hub": len(left_open & by_number.keys()),
        "tries_that_failed": sum(one.failures for one in promises),
    }  # fmt: skip
    _compare_numbers(facts, verdict)
    _count_cards(facts, verdict)


def _is_theirs(fact: f.Fact) -> bool:
    return isinstance(fact, f.OpinionRegistered) and fact.title.startswith(TITLE)


def _compare_photos(hub: Node, facts: list[tuple[str, f.Fact]], promised: set[str], verdict: Verdict) -> int:
    attached = [(id_, one.digest) for id_, one in facts if isinstance(one, f.Attached)]
    verdict.duplicated += [f"photo of {id_}" for (id_, _), n in Counter(attached).items() if n > 1]
    here = dict(attached)
    with hub.reading() as connection:
        for id_ in promised:
            blob = hub.blobs.find(connection, bytes.fromhex(here[id_])) if id_ in here else None
            if blob is None or blob.state is not BlobState.COMPLETE or not hub.blobs.read(connection, blob.digest):
                verdict.lost.append(f"photo of {id_}")
    return len(promised)


def _compare_numbers(facts: list[tuple[str, f.Fact]], verdict: Verdict) -> None:
    numbers = Counter(one.reg_no for _, one in facts if isinstance(one, f.OpinionRegistered))
    verdict.duplicated += [f"registration number {number}" for number, n in numbers.items() if n > 1]


def _count_cards(facts: list[tuple[str, f.Fact]], verdict: Verdict) -> None:
    """Each step of the ladder once, also when two workers look at the same instant."""
    fired = Counter((id_, one.clock, one.level, one.mark) for id_, one in facts if isinstance(one, f.CardFired))
    verdict.duplicated += [f"card {key}" for key, n in fired.items() if n > 1]
    verdict.figures["cards_fired"] = fired.total()


def _facts(node: Node) -> list[tuple[str, f.Fact]]:
    """Every fact about an opinion, from the ledger itself and not from a table that was folded from it."""
    with node.reading() as connection:
        subjects = node.ledger.subjects(connection, "opinion/", None, 1_000_000)
        events = [event for found in node.ledger.read_subjects(connection, subjects).values() for event in found]
    told = ((event.subject, codec.decode(event.kind, event.version, event.body)) for event in events if event.body)
    return [(subject.removeprefix("opinion/"), fact) for subject, fact in told if fact is not None]


def _run_check(stage: Stage, verdict: Verdict) -> None:
    """`lianxin check` as a person would run it: chains verify, read tables rebuilt equal the live ones."""
    for home in stage.addresses:
        command = [sys.executable, "-m", "service.cli", "check"]
        told = subprocess.run(
            command, env=inherited() | stage.environment(home), cwd=ROOT, capture_output=True, text=True, check=False
        )
        if told.returncode:
            verdict.wrong.append(
                f"lianxin check at {home}: {' / '.join((told.stdout + told.stderr).split(chr(10))[:5])}"
            )
    verdict.figures["nodes_checked"] = len(stage.addresses)
