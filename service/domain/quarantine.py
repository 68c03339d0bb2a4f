"""Why a subject was set aside, and what brings it back: one rule for each reason.

| category | what happened | tried again |
|---|---|---|
| undecodable | the bytes are no JSON, or a sealed body cannot be opened | by a person only |
| schema | JSON, but not the shape that its kind and version promise | when the program changed |
| rule | readable, but what it says cannot be | when the program or the town's data changed |
| dependency | something it rests on is not here yet | when new records arrive |
| handler | our own fold failed, or the program ended in it | when the program changed |

New facts of the subject itself try it again in any case, as does a person.
"""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """Why a subject cannot be folded."""

    UNDECODABLE = "undecodable"
    SCHEMA = "schema"
    RULE = "rule"
    DEPENDENCY = "dependency"
    HANDLER = "handler"


AFTER_UPGRADE = frozenset({Category.SCHEMA, Category.RULE, Category.HANDLER, Category.DEPENDENCY})
AFTER_MASTER_DATA = frozenset({Category.RULE, Category.DEPENDENCY})
ON_ARRIVAL = frozenset({Category.DEPENDENCY})

ENDED = "the program ended while working on it"
ENDED_MAX = 2  # so often a process may end while folding a subject before it is set aside: once may be a power cut


class MissingDependency(Exception):
    """A record rests on one that is not here yet; `needs` names it."""

    def __init__(self, needs: str) -> None:
        super().__init__(f"needs {needs}")
        self.needs = needs


class Impossible(Exception):
    """A record can be read, but what it says cannot be."""
