"""The composition root: one node out of its settings. Nothing is built at import."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from config.clock import FileClock, system_now
from config.settings import NodeRole, Settings
from service.domain.people import Actor
from service.domain.town import Town
from service.jobs import CeleryJobs, Jobs, NoJobs, celery_client
from service.store import database, node_facts
from service.store.masters import load_town
from service.store.unit import Unit
from service.store.vault import NodeVault, StationSeal
from sync.anchor import Anchor
from sync.blobs import BlobStore
from sync.durable import create_file, make_folder
from sync.events import Scope
from sync.identity import Identity
from sync.ledger import Ledger

log = structlog.get_logger(__name__)

Now = Callable[[], datetime]
_SECRET_CHARACTERS = 64


@dataclass(slots=True, kw_only=True)
class Node:
    """A hub or a station, ready to work. Threads share it; every unit opens its own connection."""

    settings: Settings
    engine: Engine
    identity: Identity
    anchor: Anchor
    ledger: Ledger
    seal: StationSeal
    blobs: BlobStore
    now: Now
    jobs: Jobs
    secret_key: str
    new_id: Callable[[], str] = field(default=lambda: uuid.uuid4().hex)
    somebody_at: datetime | None = None  # when this process last noted that somebody is at the desk
    _town: tuple[str, Town] | None = None
    _hub_nodes: frozenset[str] = frozenset()

    @property
    def is_hub(self) -> bool:
        return self.settings.role is NodeRole.HUB

    @property
    def is_county(self) -> bool:
        """Whether this hub is a county's: what lies below it are townships' hubs."""
        return self.settings.is_county

    @property
    def town_scope(self) -> Scope:
        """The scope that contains all others of this town."""
        return Scope(self.settings.town)

    @property
    def public_scope(self) -> Scope:
        return Scope(f"{self.settings.town}/pub")

    @property
    def hub_scope(self) -> Scope:
        return Scope(f"{self.settings.town}/hub")

    def sums_scope(self, township: str) -> Scope:
        """Where a township's hub writes what it counted: the one scope of a town that its county shares.

        One for each township, since both sides of an exchange hold all of what they share: decision 0021.
        """
        return Scope(f"{self.settings.county}/sum/{township}")

    def station_scope(self, station: str) -> Scope:
        return Scope(f"{self.settings.town}/s/{station}")

    @property
    def hub_nodes(self) -> frozenset[str]:
        """Node ids whose facts count as the hub's; a station learns them at enrolment."""
        if self.is_hub:
            return frozenset({self.identity.node})
        if not self._hub_nodes:
            with self.reading() as connection:
                known = node_facts.get(connection, "hub_node") or ""
            self._hub_nodes = frozenset(filter(None, known.split(",")))
        return self._hub_nodes

    @property
    def station(self) -> str | None:
        """Code of the station this node serves; None at the hub and before enrolment."""
        with self.reading() as connection:
            return node_facts.get(connection, "station")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads; it neither waits for a writer nor holds one up."""
        with self.engine.connect().execution_options(read_only=True) as connection:
            yield connection

    @contextmanager
    def unit(self, actor: Actor) -> Iterator[Unit]:
        """A unit of work; commits on leaving, then nudges. Any exception rolls everything back."""
        with self.engine.begin() as connection:
            unit = Unit(connection=connection, node=self, actor=actor, now=self.now(), town=self.town(connection))
            yield unit
            nudges = unit.finish()
        if unit.has_emptied:
            self.clear_erased()
        for name in sorted(nudges):
            self.jobs.request(name)

    def clear_erased(self) -> None:
        """Remove the files of erased content, after the commit that erased it: a file cannot be rolled back.

        What was decided is done by then. A file that another program has open goes with the next sweep.
        """
        try:
            with self.engine.begin() as connection:
                self.blobs.clear_erased(connection)
        except (OSError, SQLAlchemyError) as error:
            log.warning("attachments.not_cleared", reason=type(error).__name__)

    def town(self, connection: Connection) -> Town:
        """The town snapshot, loaded again only after master data changed."""
        version = node_facts.get(connection, "masters_version") or "0"
        if self._town is None or self._town[0] != version:
            self._town = (version, load_town(connection))
        return self._town[1]

    def forget_town(self) -> None:
        """Load the snapshot again at the next look, whatever its version says."""
        self._town = None


def build_node(settings: Settings, *, jobs: Jobs | None = None, now: Now | None = None) -> Node:
    """Open the database, the keys and the doorbell. Raises database.StorageUnusable with a reason to show."""
    make_folder(settings.data_dir)
    engine = open_engine(settings)
    clock = now or (FileClock(settings.test_clock) if settings.test_clock else system_now)
    identity = Identity.load_or_create(settings.data_dir)
    vault = NodeVault(settings.data_dir / "vault.key")
    return Node(
        settings=settings, engine=engine, identity=identity, anchor=Anchor(settings.data_dir),
        ledger=Ledger(identity, clock, vault), now=clock,
        blobs=BlobStore(settings.data_dir / "blobs", clock, vault=vault),
        seal=StationSeal(settings.data_dir / "station-seal.key"), secret_key=_secret_key(settings),
        jobs=jobs if jobs is not None else _jobs(settings),
    )  # fmt: skip


def open_engine(settings: Settings) -> Engine:
    if settings.database_url is not None:
        return database.open_postgresql(settings.database_url.get_secret_value())
    return database.open_sqlite(settings.sqlite_path)


def _jobs(settings: Settings) -> Jobs:
    if settings.role is NodeRole.HUB and settings.broker_url is None:
        return NoJobs()
    return CeleryJobs(celery_client(settings.broker_url))


def _secret_key(settings: Settings) -> str:
    """The key that signs sessions; made once per installation so that a restart signs nobody out."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    return _kept_secret(settings.data_dir / "session.key")


def _kept_secret(path: Path) -> str:
    """64 characters. A file that a power cut has left empty is none: without a secret no page could be signed."""
    if path.exists() and path.stat().st_size < _SECRET_CHARACTERS:
        path.unlink(missing_ok=True)
    if not path.exists():
        create_file(path, secrets.token_hex(_SECRET_CHARACTERS // 2).encode("ascii"))
    return path.read_text(encoding="ascii")
