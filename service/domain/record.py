"""A fact as it stands in the ledger: what the domain may know of an event, and nothing of how it travelled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.domain.facts import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who did it, as written at the node where it was done."""

    role: str
    account: str
    name: str

    def __str__(self) -> str:
        return f"{self.role}|{self.account}|{self.name}"

    @classmethod
    def parse(cls, text: str) -> Author:
        """The inverse of str(); a foreign text becomes the name, so that it is still shown."""
        parts = text.split("|", 2)
        if len(parts) != 3:
            return cls(role="", account="", name=text)
        return cls(role=parts[0], account=parts[1], name=parts[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One fact of one subject. `fact` is None when a newer node wrote a shape this one does not know yet.

    `occurred_at` is what the recording node's clock said, `received_at` when this node got it (both UTC).
    `from_hub` tells whether the township hub recorded it: only the hub dispatches, escalates and publishes.
    """

    event_id: str
    kind: str
    fact: Fact | None
    occurred_at: datetime
    received_at: datetime
    author: Author
    from_hub: bool
    erased: bool = False
