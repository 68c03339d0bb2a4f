"""When a station tries the line: never all at once, never hammering, never too late once there is a sign of life."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from config.settings import Settings
from service.actions import scheduling
from service.actions.scheduling import POLL, RETRY_MAX, RETRY_MAX_ALONE, RETRY_MIN, Listening
from service.jobs import NoJobs
from service.node import Node, Now, build_node
from service.store import node_facts, schema
from sync import peers
from sync.errors import NotGranted, PeerBusy, PeerFailed, SyncError, TimedOut, Unreachable
from sync.events import EventDraft, Scope, Subject, to_us
from sync.peers import Peer

START = datetime(2026, 11, 16, 0, 0, tzinfo=UTC)
HUB = Peer(node="00000000000000aa", public_key=bytes(32), name="hub", read_scopes=(Scope("445222113/s/qd"),),
           write_scopes=(), introduces=True)  # fmt: skip


def opened(folder: Path, now: Now) -> Node:
    return build_node(Settings(data_dir=folder, hub_url="https://hub.example"), jobs=NoJobs(), now=now)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A station that knows its hub; every test works on a copy."""
    folder = tmp_path_factory.mktemp("station")
    node = opened(folder, lambda: START)
    schema.upgrade(node.engine)
    with node.engine.begin() as connection:
        peers.add_peer(connection, HUB, START)
    node.engine.dispose()
    return folder


class Station:
    """A station that knows its hub, on a clock of its own; no line at all."""

    def __init__(self, folder: Path) -> None:
        self.at = START
        self.address = "192.168.1.7"
        self.node = opened(folder, lambda: self.at)

    def fails(self, error: SyncError, *, heard: bool = False, moved: bool = False) -> None:
        line = Listening(NoLine())
        line.heard, line.moved = heard, moved
        with self.node.engine.begin() as connection:
            peers.record_error(connection, HUB.node, error, self.at)
        scheduling.note_failure(self.node, HUB, error, line, lambda: self.address)

    def works(self) -> None:
        with self.node.engine.begin() as connection:
            now_us = to_us(self.at)
            peers.record_contact(
                connection, HUB.node, last_contact_us=now_us, last_verified_us=now_us, **peers.NO_ERROR
            )
        scheduling.note_success(self.node)

    def records(self) -> None:
        with self.node.engine.begin() as connection:
            self.node.ledger.append(connection, Scope("445222113/s/qd"), [EventDraft(
                kind="noted", version=1, subject=Subject("note/1"), body=b"{}", occurred_at=self.at, author="a",
            )])  # fmt: skip

    @property
    def is_due(self) -> bool:
        with self.node.reading() as connection:
            return scheduling.is_due(self.node, connection, HUB, lambda: self.address)

    def waits(self) -> timedelta:
        """How long from now until it is due by itself: not a moment earlier, and then indeed."""
        if self.is_due:
            return timedelta(0)
        with self.node.reading() as connection:
            contact = peers.find_contact(connection, HUB.node)
            at = scheduling.next_try_at(self.node, connection, contact, lambda: self.address)
        before = self.at
        due_at = at if at is not None else (contact.last_contact_at or before) + POLL
        self.at = due_at - timedelta(milliseconds=1)
        assert not self.is_due
        self.at = due_at
        assert self.is_due
        self.at = before
        return due_at - before

    def press(self) -> None:
        with self.node.engine.begin() as connection:
            scheduling.note_request(connection, self.at)


class NoLine:
    def post(self, verb: str, body: bytes) -> bytes:
        raise Unreachable


@pytest.fixture
def station(fresh: Path, tmp_path: Path) -> Iterator[Station]:
    made = Station(shutil.copytree(fresh, tmp_path / "station"))
    yield made
    made.node.engine.dispose()


def dead_for(station: Station, attempts: int) -> list[timedelta]:
    """The pauses while nobody answers."""
    pauses = []
    for _ in range(attempts):
        station.fails(Unreachable())
        pauses.append(station.waits())
        station.at += pauses[-1]
    return pauses


# --- pauses ----------------------------------------------------------------------------------------------------------


def test_pauses_double_up_to_fifteen_minutes_in_an_empty_room_and_five_while_somebody_is_at_the_desk(
    station: Station,
) -> None:
    pauses = dead_for(station, 9)
    for number, pause in enumerate(pauses):
        whole = min(RETRY_MIN * 2**number, RETRY_MAX_ALONE)
        assert whole / 2 <= pause <= whole + timedelta(seconds=1)
    assert pauses[-1] > RETRY_MAX
    scheduling.note_somebody(station.node)
    station.fails(Unreachable())
    assert RETRY_MAX / 2 <= station.waits() <= RETRY_MAX


def test_a_person_who_comes_in_shortens_a_pause_that_runs(station: Station) -> None:
    dead_for(station, 8)
    station.fails(Unreachable())
    assert station.waits() > RETRY_MAX
    scheduling.note_somebody(station.node)
    assert station.waits() <= RETRY_MAX


def test_stations_that_failed_together_do_not_return_together(station: Station) -> None:
    for _ in range(6):
        station.fails(Unreachable())
    pauses = []
    for number in range(20):
        origin = replace(station.node.identity.origin, node=f"{number:016x}")
        station.node.identity = replace(station.node.identity, origin=origin)
        pauses.append(station.waits())
    assert max(pauses) - min(pauses) > timedelta(seconds=60)
    assert len({pause // timedelta(seconds=10) for pause in pauses}) >= 10


def test_the_hubs_own_word_on_when_to_come_back_is_kept(station: Station) -> None:
    station.fails(PeerBusy(wait_s=3), heard=True)
    assert station.waits() == timedelta(seconds=3)
    station.fails(PeerBusy(wait_s=86_400), heard=True)
    assert station.waits() == RETRY_MAX_ALONE
    station.records()
    assert station.waits() == RETRY_MAX_ALONE, "what is new does not elbow its way in"


def test_a_hub_that_answers_with_trouble_of_its_own_is_left_more_and_more_time(station: Station) -> None:
    for _ in range(6):
        station.fails(PeerFailed(status=500), heard=True)
    assert station.waits() > timedelta(minutes=4)
    for _ in range(6):
        station.fails(NotGranted(), heard=True, moved=True)
    assert station.waits() > timedelta(minutes=4)


# --- signs of life ---------------------------------------------------------------------------------------------------


def test_an_answer_after_silence_begins_with_short_pauses_again(station: Station) -> None:
    dead_for(station, 6)
    station.fails(TimedOut(), heard=True)
    assert station.waits() <= RETRY_MIN


def test_a_bad_line_on_which_something_passes_is_tried_again_soon(station: Station) -> None:
    for _ in range(6):
        station.fails(TimedOut(), heard=True, moved=True)
        assert station.waits() <= RETRY_MIN


def test_a_line_that_works_forgets_the_trouble(station: Station) -> None:
    dead_for(station, 6)
    station.works()
    assert station.waits() == POLL
    station.at += timedelta(minutes=2)
    station.fails(Unreachable())
    assert station.waits() <= RETRY_MIN


def test_a_record_is_tried_soon_and_does_not_hammer(station: Station) -> None:
    dead_for(station, 8)
    station.fails(Unreachable())
    for _ in range(5):
        station.at += timedelta(seconds=1)
        station.records()
    assert timedelta(seconds=10) <= station.waits() <= RETRY_MIN
    station.at += timedelta(seconds=30)
    assert station.is_due


def test_the_button_waits_for_nothing_and_begins_with_short_pauses_again(station: Station) -> None:
    dead_for(station, 8)
    station.fails(Unreachable())
    station.at += timedelta(seconds=1)
    station.press()
    assert station.is_due
    station.at += timedelta(seconds=1)
    station.fails(Unreachable())
    assert not station.is_due, "one press is one try"
    assert station.waits() <= RETRY_MIN


def test_another_network_is_tried_soon(station: Station) -> None:
    dead_for(station, 8)
    station.fails(Unreachable())
    station.address = ""
    assert station.waits() > RETRY_MIN, "the cable is out"
    station.address = "192.168.43.12"
    assert station.waits() <= RETRY_MIN


def test_this_computer_can_tell_its_address_or_none() -> None:
    assert all(part.count(".") == 3 or ":" in part for part in scheduling.local_address().split())


# --- starting --------------------------------------------------------------------------------------------------------


def test_a_start_is_scattered_over_two_minutes_and_the_page_says_until_when(station: Station) -> None:
    waits = []
    for seed in range(20):
        scheduling.note_start(station.node, Random(seed))
        waits.append(station.waits())
    assert timedelta(0) <= min(waits) < timedelta(seconds=30)
    assert timedelta(seconds=90) < max(waits) <= timedelta(seconds=120)
    with station.node.reading() as connection:
        at = scheduling.next_try_at(station.node, connection, peers.find_contact(connection, HUB.node))
    assert at is not None
    assert at - station.at == waits[-1]


def test_neither_the_button_nor_a_record_waits_after_a_start(station: Station) -> None:
    scheduling.note_start(station.node, Random(1))
    assert not station.is_due
    station.at += timedelta(seconds=1)
    station.press()
    assert station.is_due
    station.works()
    scheduling.note_start(station.node, Random(1))
    station.at += timedelta(seconds=2)
    station.records()
    assert station.is_due


def test_a_start_forgets_the_pauses_of_yesterday(station: Station) -> None:
    dead_for(station, 8)
    station.fails(Unreachable())
    station.at += timedelta(seconds=1)
    with station.node.engine.begin() as connection:
        node_facts.put(connection, "started_at", station.at.isoformat())
    assert station.is_due
    station.fails(Unreachable())
    assert station.waits() <= RETRY_MIN


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps_keeps_no_station_waiting(station: Station, days: int) -> None:
    scheduling.note_start(station.node, Random(1))
    for _ in range(8):
        station.fails(Unreachable())
    station.press()
    station.at += timedelta(days=days)
    station.records()
    assert station.waits() <= timedelta(seconds=1)
    station.fails(Unreachable())
    assert station.waits() <= RETRY_MAX_ALONE


def test_a_station_without_an_address_of_a_hub_tries_nothing(station: Station) -> None:
    station.node.settings = station.node.settings.model_copy(update={"hub_url": None})
    assert not station.is_due
