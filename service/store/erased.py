"""Who was erased here, and which content no case refers to any more because of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, exists, select

from service.store.tables import attachments, erased_people
from sync import bulk
from sync.events import Scope, Subject

_a, _e = attachments.c, erased_people.c
_STANDING = ~exists().where(_e.opinion == _a.opinion, _e.scope == _a.scope)


def cases(connection: Connection, opinions: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Those of the opinions whose reporter was erased, each with the scope in which that holds."""
    if not opinions or nobody(connection):
        return frozenset()
    found = (
        connection.execute(select(_e.opinion, _e.scope).where(_e.opinion.in_(part))) for part in bulk.chunks(opinions)
    )
    return frozenset((row.opinion, row.scope) for rows in found for row in rows)


def touched_by(connection: Connection, subjects: Sequence[Subject]) -> list[Subject]:
    """Erasures to be carried out once more because these subjects belong to an erased person: late data of theirs."""
    if nobody(connection):
        return []
    people = [subject.removeprefix("person/") for subject in subjects if subject.startswith("person/")]
    opinions = [subject.removeprefix("opinion/") for subject in subjects if subject.startswith("opinion/")]
    queries = [select(_e.person).where(_e.person.in_(part)) for part in bulk.chunks(people)]
    queries += [select(_e.person).where(_e.opinion.in_(part)) for part in bulk.chunks(opinions)]
    found = {person for query in queries for person in connection.execute(query).scalars()}
    return [Subject(f"erasure/{person}") for person in sorted(found)]


def nobody(connection: Connection) -> bool:
    """Whether nobody was ever erased, as on most nodes: then there is nothing to look up."""
    return connection.execute(select(_e.person).limit(1)).first() is None


def standing_scopes(connection: Connection, digest: str, without: str, scope: Scope) -> frozenset[Scope]:
    """Scopes in which a case that stands refers to this content (hex); `without` the opinion that is being erased."""
    others = (_a.opinion != without) | (_a.scope != scope)
    query = select(_a.scope).where(_a.digest == digest, others, _STANDING).distinct()
    return frozenset(Scope(scope) for scope in connection.execute(query).scalars())
