"""Facts about records themselves: what the hub's people decided on a record that could not be taken in.

They stand in the subject of that record, in its scope: whoever holds the record holds the decision, and folds alike.
The record keeps its place in the ledger for ever; it is only left out of the fold.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from service.domain.facts.kinds import Fact, fact


@fact("record.retried")
class RecordRetried(Fact):
    """重试: try to take the subject in again, as it stands."""

    reason: str = ""


@fact("record.set_aside")
class RecordSetAside(Fact):
    """退回: leave the event with this id out, and say why. `kind` is what it was, for the notice."""

    event: str
    kind: str
    reason: str


@fact("record.corrected")
class RecordCorrected(Fact):
    """更正后采用: in place of the event with this id read these fields, as `kind` in `version`.

    Time, place in the order and author stay those of the event; that it was corrected, by whom and why, stands here.
    """

    event: str
    kind: str
    version: int
    reason: str
    fields: dict[str, Any] = field(default_factory=dict)


@fact("node.epoch_opened")
class EpochOpened(Fact):
    """A node (the hub where `station` is "") doubts its past and numbers anew; `reason` is a code of the library."""

    node: str
    station: str
    epoch: str
    parent: str
    reason: str
