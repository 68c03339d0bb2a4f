"""Whole nodes in a few words, for tests and examples."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, insert, select, text

from sync import peers
from sync.acknowledged import Unsent
from sync.blobs import Blob, BlobStore
from sync.enrolment import enrol, issue_code
from sync.events import Event, EventDraft, Scope, Subject
from sync.exchange import ExchangeReport, exchange
from sync.identity import Identity, Vault
from sync.ledger import Ledger
from sync.limits import Limits
from sync.peers import Peer
from sync.replica import NodeInfo, Replica
from sync.responder import Responder
from sync.tables import metadata
from sync.testing.clock import FixedClock
from sync.testing.transports import DirectTransport
from sync.transport import Transport


def draft(subject: str = "note/1", text: str = "…", once: str | None = None, kind: str = "noted") -> EventDraft:
    """An event about to happen, at a fixed time."""
    return EventDraft(
        kind=kind, version=1, subject=Subject(subject), body=json.dumps({"text": text}).encode(),
        occurred_at=datetime(2026, 3, 2, 8, 0, tzinfo=UTC), author="clerk", once=once,
    )  # fmt: skip


@dataclass(slots=True)
class LabNode:
    """A node with its database, its key and its clock."""

    name: str
    engine: Engine
    replica: Replica
    clock: FixedClock

    @property
    def ledger(self) -> Ledger:
        return self.replica.ledger

    @property
    def node(self) -> str:
        return self.replica.identity.node

    @property
    def blobs(self) -> BlobStore:
        assert self.replica.blobs is not None
        return self.replica.blobs

    @property
    def responder(self) -> Responder:
        return Responder(self.replica)

    def record(self, scope: str, *drafts: EventDraft) -> list[Event]:
        """Append in a transaction of its own."""
        with self.engine.begin() as conn:
            return self.ledger.append(conn, Scope(scope), drafts)

    def events(self, subject: str = "note/1") -> list[Event]:
        with self.engine.begin() as conn:
            return self.ledger.read_subjects(conn, [Subject(subject)]).get(Subject(subject), [])

    def attach(self, scope: str, content: bytes) -> bytes:
        """Take content in and refer to it in the scope; gives its digest."""
        with self.engine.begin() as conn:
            digest = self.blobs.add(conn, content, "image/jpeg")
            self.blobs.refer(conn, Scope(scope), digest, len(content), "image/jpeg")
        return digest

    def erase(self, digest: bytes) -> None:
        """Let content go, and then its file."""
        with self.engine.begin() as conn:
            self.blobs.erase(conn, digest)
        with self.engine.begin() as conn:
            self.blobs.clear_erased(conn)

    def refer(self, scope: str, digest: bytes, size: int) -> None:
        """What the application does when it reads an event that refers to content."""
        with self.engine.begin() as conn:
            self.blobs.refer(conn, Scope(scope), digest, size, "image/jpeg")

    def blob(self, digest: bytes) -> Blob:
        with self.engine.begin() as conn:
            found = self.blobs.find(conn, digest)
        assert found is not None
        return found

    def peer(self, other: "LabNode") -> Peer:
        """Our row for the other node."""
        with self.engine.begin() as conn:
            return peers.get_peer(conn, other.node)

    def unsent(self, other: "LabNode") -> Unsent:
        peer = self.peer(other)
        with self.engine.begin() as conn:
            return self.ledger.unsent(conn, peer)

    def exchange(self, hub: "LabNode", transport: Transport | None = None) -> ExchangeReport:
        """Exchange over a line that works, unless another is given."""
        return exchange(self.replica, self.peer(hub), transport or DirectTransport(hub.responder))


@dataclass(slots=True)
class Lab:
    """Makes nodes. `database` gives the engine of an empty database by name, on the system under test."""

    database: Callable[[str], Engine]
    folder: Path
    clock: FixedClock = field(default_factory=FixedClock)
    made: list[LabNode] = field(default_factory=list)
    prepare: Callable[[Engine], None] = metadata.create_all  # where the databases do not bring their tables along

    def node(
        self,
        name: str,
        *,
        vault: Vault | None = None,
        limits: Limits | None = None,
        free_bytes: Callable[[], int] | None = None,
    ) -> LabNode:
        """A fresh node."""
        engine = self.database(name)
        self.prepare(engine)
        identity = Identity.load_or_create(self.folder / name)
        ledger = Ledger(identity, self.clock, vault, limits)
        info = NodeInfo(name=name, software="lab 1")
        blobs = BlobStore(self.folder / f"{name}-blobs", self.clock, limits, free_bytes, vault)
        replica = Replica(engine, ledger, identity, self.clock, limits or Limits(), info, blobs=blobs)
        self.made.append(LabNode(name, engine, replica, self.clock))
        return self.made[-1]

    def copy(self, node: LabNode, name: str) -> LabNode:
        """What the node's disk holds now, under another name: a backup restored later, or a second computer."""
        (self.folder / name).mkdir()
        for file in (self.folder / node.name).iterdir():
            (self.folder / name / file.name).write_bytes(file.read_bytes())
        copy = self.node(name)
        with node.engine.begin() as source, copy.engine.begin() as target:
            for table in metadata.sorted_tables:
                if rows := [dict(row) for row in source.execute(select(table)).mappings()]:
                    target.execute(insert(table), rows)
        self._renumber(copy)
        return copy

    @staticmethod
    def _renumber(node: LabNode) -> None:
        """PostgreSQL's sequence knows nothing of rows that came with their numbers."""
        if node.engine.dialect.name == "postgresql":
            with node.engine.begin() as conn:
                conn.execute(text("SELECT setval(pg_get_serial_sequence('ledger_streams', 'id'), 1000)"))

    def enrol(self, station: LabNode, hub: LabNode, read: Sequence[str], write: Sequence[str]) -> Peer:
        """Enrol the station at the hub by code, over a line that works; the hub as the station sees it."""
        with hub.engine.begin() as conn:
            code = issue_code(
                conn, name=station.name, now=self.clock(),
                read_scopes=[Scope(s) for s in read], write_scopes=[Scope(s) for s in write],
            )  # fmt: skip
        return enrol(station.replica, DirectTransport(hub.responder), code).hub

    def pair(self) -> tuple[LabNode, LabNode]:
        """A hub, and a station that shares `t/pub` (to read) and `t/s/a` (both ways) with it."""
        hub, station = self.node("hub"), self.node("station")
        self.enrol(station, hub, ["t/pub", "t/s/a"], ["t/s/a"])
        return hub, station

    def close(self) -> None:
        for node in self.made:
            node.engine.dispose()
