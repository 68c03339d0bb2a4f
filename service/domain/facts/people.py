"""Facts of people (群众): their bodies are sealed at rest."""

from __future__ import annotations

from service.domain.facts.kinds import Fact, fact


@fact("person.recorded")
class PersonRecorded(Fact):
    """The reporter of an opinion. `sealed` = base64 ciphertext only the station can open (secret reporters)."""

    name: str = ""
    phone: str = ""
    address: str = ""
    gender: str = ""
    sealed: str = ""
    secrecy: str = "open"
    notice_version: str = ""


@fact("person.unmasked")
class PersonUnmasked(Fact):
    """Somebody looked at the reporter's data, and said why."""

    reason: str


@fact("person.erased")
class PersonErased(Fact):
    """A person's data are to be emptied wherever they lie; in the scope where they were recorded."""

    person: str
    opinion: str
    reason: str


@fact("person.erasure_confirmed")
class PersonErasureConfirmed(Fact):
    """A node has emptied what it held of a person; `emptied` counts the bodies, 0 when there was none (any more)."""

    person: str
    node: str
    emptied: int
