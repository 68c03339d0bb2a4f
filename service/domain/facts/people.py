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
