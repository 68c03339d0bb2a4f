"""The memory stick between a station and its hub, where there is no line: 从U盘带走, 从U盘带回.

Both may be done again at any time: what lies on the stick already stays, what is known already is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import structlog

from config import jobs
from config.settings import Settings
from service.actions import projecting, replacing
from service.actions.syncing import NoHub, announce_enrolled, replica
from service.domain.people import Actor, Step
from service.domain.refusals import Invalid, NotFound
from service.node import Node
from sync import peers
from sync.peers import Contact, Peer
from sync.stick import Exported, Imported, Progress, export, import_

log = structlog.get_logger(__name__)


def take_away(node: Node, actor: Actor, folder: str, station: str = "") -> list[Exported]:
    """Write for the other side what it lacks: at a station for the hub, at the hub for each computer of `station`.

    Raises NotAllowed, Invalid, NoHub, NotFound for a station without a computer, and SyncError by name.
    """
    actor.require(Step.CARRY_STICK)
    place = place_of(folder)
    written = [export(replica(node), peer, place) for peer in _receivers(node, station)]
    for one in written:
        log.info("stick.written", peer=one.peer, files=one.files, events=one.events, new_events=one.new_events,
                 contents=one.contents, contents_left=one.contents_left)  # fmt: skip
    return written


def bring_back(
    node: Node, actor: Actor, folder: str, progress: Callable[[Progress], None] = lambda _: None
) -> Imported:
    """Take in what the stick brings, write the answer on it, fold what came; a hub also lets new nodes in.

    Raises NotAllowed, Invalid, and SyncError by name; what was stored until then stays stored and is folded.
    """
    actor.require(Step.CARRY_STICK)
    try:
        ours = replica(node)
        responder = replacing.responder(node) if node.is_hub else None
        fold = partial(projecting.sweep, node)  # also at a hub: attached content waits for the record that names it
        report = import_(ours, place_of(folder), progress=progress, responder=responder, fold=fold)
    finally:
        _fold(node)
    if report.enrolled:
        announce_enrolled(node)
    log.info("stick.read", senders=report.senders, files=report.files, stored=report.stored, contents=report.contents,
             problems=[problem.code for problem in report.problems])  # fmt: skip
    return report


def sticks(settings: Settings, is_mount: Callable[[Path], bool] = os.path.ismount) -> list[Path]:
    """Mounted folders at or up to two levels below the places where the settings say that sticks appear."""
    found = {place for root in settings.stick_places for place in _below(root, depth=2) if is_mount(place)}
    return sorted(found)


def is_own_disk(node: Node, folder: str) -> bool:
    """Whether the folder lies on the disk of this node: a mount point without a stick looks like any folder."""
    try:
        return os.stat(folder).st_dev == os.stat(node.settings.data_dir).st_dev
    except OSError:
        return False


def contacts(node: Node) -> list[tuple[Peer, Contact]]:
    """The other sides, each with when a stick was last written for it and last read."""
    with node.reading() as connection:
        known = peers.contacts(connection)
        others = [peer for peer in peers.all_peers(connection) if peer.revoked_after is None]
    return [(peer, known.get(peer.node, Contact(peer=peer.node))) for peer in others]


def _receivers(node: Node, station: str) -> list[Peer]:
    others = [peer for peer, _ in contacts(node)]
    if node.is_hub:
        if not station:
            raise Invalid("station")
        computers = [peer for peer in others if peer.name == station]
        if not computers:
            raise NotFound("station", station)
        return computers
    hubs = [peer for peer in others if peer.introduces]
    if not hubs:
        raise NoHub
    return hubs


def place_of(folder: str) -> Path:
    """The top of a stick. Raises Invalid unless the path is whole: others depend on how this program was started."""
    if not folder:
        raise Invalid("folder")
    place = Path(folder)
    if not place.is_absolute():
        raise Invalid("folder", "not_a_folder")
    return place


def _fold(node: Node) -> None:
    """A station folds at once, so that the next page shows what came; a hub's workers are rung."""
    if node.is_hub:
        node.jobs.request(jobs.PROJECTION)
    else:
        projecting.sweep(node)


def _below(place: Path, depth: int) -> Iterator[Path]:
    yield place
    if depth:
        for folder in _folders(place):
            yield from _below(folder, depth - 1)


def _folders(place: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # not there, or somebody else's
        return []
