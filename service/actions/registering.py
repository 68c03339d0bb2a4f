"""登记 (T1): write down what a citizen said, and hand out a receipt."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

import msgspec

from service.domain import facts as f
from service.domain.people import Reporter, Secrecy, Step
from service.domain.refusals import Invalid, InvalidForm, Refused
from service.store.unit import Unit
from sync.errors import AlreadyRecorded

SOURCES = ("reception", "visit", "call", "letter", "online", "deputy_code", "meeting")
URGENCIES = ("normal", "urgent", "critical")
TITLE_MAX, BODY_MAX, SHORT_MAX = 80, 5000, 200
AFFECTED_MAX = 1_000_000

# No 0/O, 1/I/L, U/V: the code is read out over the telephone. 28^12 is about 57 bits.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTWXY"
_CODE_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOpinion:
    """What the registration form says. `form` is the form's own number: sent twice, it registers once."""

    form: str
    title: str
    body: str
    source: str = "reception"
    wish: str = ""
    category: str = ""
    area: str = ""
    grid: str = ""
    affected: int = 1
    urgency: str = "normal"
    sensitive: bool = False
    secrecy: str = Secrecy.OPEN.value
    reporter: Reporter = field(default_factory=Reporter)
    proxy_deputy: str | None = None
    notice_read: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the citizen takes home. The tracking code exists here and on paper only; the node keeps its hash."""

    opinion: str
    reg_no: str
    tracking_code: str


class RegisteredBefore(Refused):
    """The same form was sent twice; the opinion is there already, and so is the receipt on paper."""

    def __init__(self) -> None:
        super().__init__("registered_before")


def register(unit: Unit, new: NewOpinion, station_code: str) -> Receipt:
    """Record the opinion at the station; works with the network down.

    Raises InvalidForm (every bad field at once), NotAllowed, RegisteredBefore.
    """
    unit.actor.require(Step.REGISTER)
    unit.actor.require_station(station_code)
    _check(unit, new)
    station = unit.town.station(station_code)
    opinion, code = unit.new_id(), tracking_code(unit.node.secret_key, new.form)
    reg_no = unit.next_number(_series(unit, station.code))
    scope = unit.station_scope(station.code)
    reporter = _record_person(unit, new, station.code)
    fact = f.OpinionRegistered(
        reg_no=reg_no, tracking=tracking_hash(code), station=station.code, source=new.source, title=new.title,
        body=new.body, wish=new.wish, category=new.category, area=new.area, grid=new.grid,
        affected=new.affected, urgency=new.urgency, sensitive=new.sensitive or _locked(unit, new.category),
        secrecy=new.secrecy, reporter=reporter, proxy_deputy=new.proxy_deputy or unit.actor.deputy,
        notice_version=_notice_version(unit),
    )  # fmt: skip
    try:
        unit.record(f"opinion/{opinion}", fact, scope=scope, once=f"form:{new.form}")
    except AlreadyRecorded as error:
        raise RegisteredBefore from error
    return Receipt(opinion=opinion, reg_no=reg_no, tracking_code=code)


def tracking_code(secret: str, form: str) -> str:
    """Twelve characters in three groups, such as `7KQ2-MX9D-RA4T`, that only who knows `secret` can tell.

    The same form gives the same code: when the power fails between the commit and the receipt, sending the form again
    registers nothing, yet prints the receipt whose code the node itself does not keep.
    """
    number = int.from_bytes(hmac.digest(secret.encode(), b"lianxin/tracking-code/1\0" + form.encode(), "sha256"))
    letters = []
    for _ in range(_CODE_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "-".join("".join(letters[i : i + 4]) for i in range(0, _CODE_LENGTH, 4))


def tracking_hash(code: str) -> str:
    """SHA-256 (hex) of the code as written in any case, with or without dashes and spaces."""
    plain = "".join(ch for ch in code.upper() if ch.isalnum())
    return hashlib.sha256(b"lianxin/tracking/v1\0" + plain.encode()).hexdigest()


def _check(unit: Unit, new: NewOpinion) -> None:
    problems = [*_check_texts(new), *_check_choices(unit, new)]
    if problems:
        raise InvalidForm(tuple(problems))


def _check_texts(new: NewOpinion) -> list[Invalid]:
    who = new.reporter
    limits = (
        ("title", new.title, TITLE_MAX, True), ("body", new.body, BODY_MAX, True), ("wish", new.wish, BODY_MAX, False),
        ("name", who.name, SHORT_MAX, False), ("phone", who.phone, 40, False),
        ("address", who.address, SHORT_MAX, False),
    )  # fmt: skip
    problems = [Invalid(name) for name, text, _, required in limits if required and not text.strip()]
    problems += [Invalid(name, "too_long", limit=limit) for name, text, limit, _ in limits if len(text) > limit]
    return problems


def _check_choices(unit: Unit, new: NewOpinion) -> list[Invalid]:
    problems: list[Invalid] = []
    if new.source not in SOURCES:
        problems.append(Invalid("source", "unknown_choice"))
    if new.urgency not in URGENCIES:
        problems.append(Invalid("urgency", "unknown_choice"))
    if new.secrecy not in {level.value for level in Secrecy}:
        problems.append(Invalid("secrecy", "unknown_choice"))
    if new.area not in unit.town.areas:
        problems.append(Invalid("area", "required" if not new.area else "unknown_choice"))
    if new.category and new.category not in unit.town.categories:
        problems.append(Invalid("category", "unknown_choice"))
    if not 1 <= new.affected <= AFFECTED_MAX:
        problems.append(Invalid("affected", "out_of_range", low=1, high=AFFECTED_MAX))
    if _named(new.reporter) and not new.notice_read:
        problems.append(Invalid("notice_read", "notice_needed"))
    return problems


def _named(reporter: Reporter) -> bool:
    return bool(reporter.name or reporter.phone or reporter.address)


def _locked(unit: Unit, category: str) -> bool:
    known = unit.town.categories.get(category)
    return known is not None and known.locked


def _notice_version(unit: Unit) -> str:
    return unit.town.stated.notice_version if unit.town.stated else ""


def _series(unit: Unit, station: str) -> str:
    """`QD-2026`, and `QD0-2026` for what the hub writes down for a station: two nodes never share a series.

    Both issue numbers without asking each other; station codes are letters, so no code ends in a digit.
    """
    return f"{station.upper()}{'0' if unit.is_hub else ''}-{unit.today.year}"


def _record_person(unit: Unit, new: NewOpinion, station: str) -> str | None:
    """The reporter as a subject of their own, so that they can be erased without the opinion."""
    if not _named(new.reporter):
        return None
    person = unit.new_id()
    unit.record(f"person/{person}", _person_fact(unit, new, person), scope=unit.station_scope(station))
    return person


def _person_fact(unit: Unit, new: NewOpinion, person: str) -> f.PersonRecorded:
    """Open names travel to the hub; secret ones leave the station only as what the station alone can open."""
    who, notice = new.reporter, _notice_version(unit)
    if new.secrecy == Secrecy.OPEN.value:
        return f.PersonRecorded(name=who.name, phone=who.phone, address=who.address, gender=who.gender,
                                secrecy=new.secrecy, notice_version=notice)  # fmt: skip
    sealed = unit.seal.close(msgspec.json.encode(who), person)
    return f.PersonRecorded(sealed=sealed, secrecy=new.secrecy, notice_version=notice)
