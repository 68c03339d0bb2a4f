"""U盘: for the days without a line, records are carried to the other side on a memory stick and answers back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, render_template
from flask_babel import gettext

from service.actions import carrying
from service.domain.people import Step
from service.web import desk, sync_reasons
from service.web.forms import Form
from sync.errors import SyncError
from sync.peers import Contact, Peer
from sync.stick import Exported, Imported

pages = Blueprint("stick", __name__, url_prefix="/stick")
desk.signed_in_only(pages)

STATUS_FAILED = 422


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What was done, or why not."""

    written: list[Exported] | None = None
    read: Imported | None = None
    failed: SyncError | None = None
    own_disk: bool = False

    @property
    def events(self) -> int:
        return sum(one.events for one in self.written or ())

    @property
    def new_events(self) -> int:
        return sum(one.new_events for one in self.written or ())

    @property
    def contents(self) -> int:
        return sum(one.contents for one in self.written or ())

    @property
    def contents_left(self) -> int:
        return sum(one.contents_left for one in self.written or ())

    @property
    def files(self) -> int:
        return sum(one.files for one in self.written or ())


@pages.get("")
def show() -> tuple[str, int]:
    desk.actor().require(Step.CARRY_STICK)
    return _page(_form(), Outcome())


@pages.post("/out")
def take_away() -> tuple[str, int]:
    form, outcome = _form(), Outcome()
    with form.guard():
        try:
            outcome.written = carrying.take_away(desk.node(), desk.actor(), _folder(form), form.text("station"))
            outcome.own_disk = carrying.is_own_disk(desk.node(), _folder(form))
        except SyncError as error:
            outcome.failed = error
    return _page(form, outcome)


@pages.post("/in")
def bring_back() -> tuple[str, int]:
    form, outcome = _form(), Outcome()
    with form.guard():
        try:
            outcome.read = carrying.bring_back(desk.node(), desk.actor(), _folder(form))
        except SyncError as error:
            outcome.failed = error
    return _page(form, outcome)


def _form() -> Form:
    return Form.received(stick="", folder="", station="")


def _folder(form: Form) -> str:
    """What was typed, else what was picked."""
    return form.text("folder") or form.text("stick")


def _page(form: Form, outcome: Outcome) -> tuple[str, int]:
    node = desk.node()
    contacts = carrying.contacts(node)
    if not contacts and not node.is_hub:
        raise desk.NotEnrolled
    status = STATUS_FAILED if outcome.failed else form.status
    return render_template(
        "stick.html", form=form, outcome=outcome, folders=_folders(), stations=_stations(contacts), contacts=contacts,
        problem=sync_reasons.stick_problem,
    ), status  # fmt: skip


def _folders() -> list[tuple[str, str]]:
    return [(str(folder), _shown(folder)) for folder in carrying.sticks(desk.node().settings)]


def _shown(folder: Path) -> str:
    return f"{folder.name} ({folder})"


def _above() -> str:
    return gettext("县级枢纽")


def _stations(contacts: list[tuple[Peer, Contact]]) -> list[tuple[str, str]]:
    """Stations that have a computer, by name; none at a station, whose other side is the hub."""
    if not desk.node().is_hub:
        return []
    with desk.looking() as look:
        found = {(peer.name, _above() if peer.introduces else look.town.place_name(peer.name)) for peer, _c in contacts}
        return sorted(found)
