"""What townships counted, and what their county told them: reading for both levels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from service.domain import facts as f
from service.store.tables import notices, township_sums

_SUMS = msgspec.json.Decoder(f.TownshipSummed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsRow:
    """The newest sums of a township for a month. `summed_at`: when its hub counted, by that hub's clock."""

    sums: f.TownshipSummed
    summed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRow:
    """A notice of the county."""

    title: str
    text: str
    by: str
    published_at: datetime


def subject_of(township: str, month: str) -> str:
    return f"township/{township}/{month}"


def sums_of(connection: Connection, township: str, month: str) -> SumsRow | None:
    query = select(township_sums).where(township_sums.c.subject == subject_of(township, month))
    row = connection.execute(query).one_or_none()
    return None if row is None else SumsRow(sums=_SUMS.decode(row.figures), summed_at=row.summed_at)


def sums_in(connection: Connection, month: str) -> dict[str, SumsRow]:
    """Every township's sums for a month, by township."""
    query = select(township_sums).where(township_sums.c.month == month)
    return {
        row.township: SumsRow(sums=_SUMS.decode(row.figures), summed_at=row.summed_at)
        for row in connection.execute(query)
    }


def months(connection: Connection, *, limit: int) -> list[str]:
    """Months that any township has sums for, newest first."""
    query = select(township_sums.c.month).distinct().order_by(township_sums.c.month.desc()).limit(limit)
    return list(connection.execute(query).scalars())


def last_notices(connection: Connection, *, limit: int) -> list[NoticeRow]:
    """Newest first."""
    query = select(notices).order_by(notices.c.published_at.desc(), notices.c.id).limit(limit)
    return [
        NoticeRow(title=row.title, text=row.text, by=row.by, published_at=row.published_at)
        for row in connection.execute(query)
    ]
