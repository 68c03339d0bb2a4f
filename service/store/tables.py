"""Tables of the service. `kept` has careful migrations; `read` is disposable and rebuilt from the ledger.

Times are stored as aware UTC instants. SQLite has no such type, so `Instant` keeps microseconds since 1970 there
and everywhere: integers sort, compare and index alike on both databases.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware instant, stored as microseconds since 1970 UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


kept = MetaData()
read = MetaData()

# What this node is and once decided: hub_node, station, town, read_version …
node_facts = Table(
    "node_facts", kept,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)  # fmt: skip

accounts = Table(
    "accounts", kept,
    Column("id", String(32), primary_key=True),
    Column("username", String(60), nullable=False, unique=True),
    Column("name", String(60), nullable=False),
    Column("role", String(20), nullable=False),
    Column("station", String(8)),
    Column("unit", String(40)),
    Column("deputy", String(40)),
    Column("password_hash", Text, nullable=False),
    Column("session_stamp", String(32), nullable=False),  # changed to end every session at once
    Column("failed_logins", Integer, nullable=False, server_default="0"),
    Column("locked_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)  # fmt: skip

# When each job last ran, so that "is it due?" survives a night without power.
job_runs = Table(
    "job_runs", kept,
    Column("name", String(40), primary_key=True),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("outcome", String(60), nullable=False, server_default=""),
)  # fmt: skip

masters = Table(
    "masters", read,
    Column("subject", String(80), primary_key=True),
    Column("kind", String(20), nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),  # JSON of the folded facts, see store.masters
)  # fmt: skip

numbers = Table(
    "numbers", read,
    Column("series", String(60), primary_key=True),  # "reg:QD:2026"
    Column("last", Integer, nullable=False),
)  # fmt: skip

opinions = Table(
    "opinions", read,
    Column("id", String(32), primary_key=True),
    Column("reg_no", String(30), nullable=False),
    Column("tracking", String(64), nullable=False),
    Column("station", String(8), nullable=False),
    Column("title", Text, nullable=False),
    Column("source", String(20), nullable=False),
    Column("category", String(40), nullable=False),
    Column("area", String(12), nullable=False),
    Column("affected", Integer, nullable=False),
    Column("urgency", String(10), nullable=False),
    Column("sensitive", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("route", String(10), nullable=False),
    Column("unit", String(40), nullable=False),
    Column("co_units", Text, nullable=False),  # ",road,water,"; "" = none
    Column("dispatch_no", String(30), nullable=False),
    Column("outcome", String(1), nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("dispatched_at", Instant),
    Column("signed_at", Instant),
    Column("delivered_at", Instant),
    Column("closed_at", Instant),
    Column("reopened", SmallInteger, nullable=False),
    Column("reopen_asked", Boolean, nullable=False),
    Column("clock", String(60), nullable=False),  # id of the clock that urges somebody now; "" = none
    Column("clock_kind", String(2), nullable=False),
    Column("due_on", Date),
    Column("due_at", Instant),
    Column("provisional", Boolean, nullable=False),
    Column("level", SmallInteger, nullable=False),  # of that clock's cards, revoked ones aside, the highest; -1 = none
    Column("next_step_at", Instant),  # when the sweep must look again
    Column("unknown", Integer, nullable=False),  # facts of a newer version
)  # fmt: skip
Index("opinions_tracking", opinions.c.tracking)
Index("opinions_registered", opinions.c.registered_at)
Index("opinions_alike", opinions.c.area, opinions.c.category, opinions.c.registered_at)  # possible duplicates
Index("opinions_station", opinions.c.station, opinions.c.registered_at)
Index("opinions_state", opinions.c.state, opinions.c.registered_at)
Index("opinions_unit", opinions.c.unit, opinions.c.state)
# The sweep's cost follows the due rows: closed and far-off cases are not in its way.
Index(
    "opinions_next_step", opinions.c.next_step_at,
    postgresql_where=text("next_step_at IS NOT NULL"), sqlite_where=text("next_step_at IS NOT NULL"),
)  # fmt: skip

cards = Table(
    "cards", read,
    Column("clock", String(60), primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("mark", String(10), primary_key=True),
    Column("opinion", String(32), nullable=False, index=True),
    Column("station", String(8), nullable=False),
    Column("unit", String(40), nullable=False),
    Column("fired_at", Instant, nullable=False),
    Column("doc_no", String(30), nullable=False),
    Column("feedback_due", Date),
    Column("feedback_at", Instant),
    Column("revoked", Boolean, nullable=False),
)  # fmt: skip
Index("cards_unit", cards.c.unit, cards.c.level, cards.c.fired_at)

receptions = Table(
    "receptions", read,
    Column("id", String(32), primary_key=True),
    Column("held_on", Date, nullable=False, index=True),
    Column("station", String(8), nullable=False),
    Column("area", String(12), nullable=False),
    Column("headcount", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
)  # fmt: skip

# Facts whose kind or version only a newer program knows.
unrecognised = Table(
    "unrecognised", read,
    Column("subject", String(160), primary_key=True),
    Column("event", String(32), primary_key=True),
    Column("node", String(16), primary_key=True),
    Column("kind", String(200), nullable=False),
    Column("version", Integer, nullable=False),
)  # fmt: skip

READ_VERSION = "5"  # raise it whenever a read table or a fold changes: every node then rebuilds at start
