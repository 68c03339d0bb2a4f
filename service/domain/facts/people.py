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


@fact("person.erasure_confirmed", version=2)
class PersonErasureConfirmed(Fact):
    """A node has emptied what it held of a person; `emptied` counts the bodies, 0 when there was none (any more).

    `contents` are the SHA-256 (hex) of the attachments that are gone with them, `kept` how many of these stay because
    another case refers to the same content. A later confirmation of the same node adds to the earlier ones.
    """

    person: str
    node: str
    emptied: int
    contents: tuple[str, ...] = ()
    kept: int = 0
