"""Facts of a station as they arrive at the hub: in the station's stream and marked, as accepting a bundle does."""

from pathlib import Path
from typing import Any

from service.domain import facts as f
from service.store import codec, unrecognised
from sync.events import Event, EventDraft, Scope, Subject
from sync.identity import Identity
from sync.ledger import Ledger
from tests.actions.township import Township


def stations_ledger(town: Township, folder: Path) -> Ledger:
    """A station's ledger that writes into the hub's database."""
    return Ledger(Identity.load_or_create(folder / "station"), town.clock)


def draft(town: Township, subject: str, kind: str, body: bytes, version: int = 1) -> EventDraft:
    return EventDraft(kind=kind, version=version, subject=Subject(subject), body=body, occurred_at=town.clock.at,
                      author="liaison|l1|林联络")  # fmt: skip


def registered(number: int = 1, **changes: Any) -> bytes:
    given = {"reg_no": f"QD-2026-{number:04d}", "tracking": f"{number:064x}", "station": "qd", "source": "reception",
             "title": "水沟堵塞", "body": "漫水"}  # fmt: skip
    return codec.encode(f.OpinionRegistered(**(given | changes)))


def arrive(town: Township, ledger: Ledger, *drafts: EventDraft, scope: Scope | None = None) -> list[Event]:
    with town.node.engine.begin() as connection:
        events = ledger.append(connection, scope or town.node.station_scope("qd"), drafts)
        town.node.ledger.mark_pending(connection, [one.subject for one in drafts])
    return events


def quarantined(town: Township) -> dict[str, tuple[str, int]]:
    with town.node.reading() as connection:
        return {one.subject: (one.category, one.attempts) for one in town.node.ledger.quarantined(connection)}


def unrecognised_count(town: Township) -> int:
    with town.node.reading() as connection:
        return unrecognised.count(connection)
