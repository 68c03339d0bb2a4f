"""Photos and scans of the township: attached by events, carried in a lane of their own, emptied with their event."""

import json
from collections.abc import Iterable
from typing import Final

from sync import peers
from sync.blob_files import digest_of
from sync.errors import BlobErased
from sync.events import Event, EventDraft, Subject, within
from sync.limits import CHUNK_BYTES
from sync.testing import Crash
from tests.simulation import attaching
from tests.simulation.attaching import ATTACHED, TYPE, Reference
from tests.simulation.members import Member
from tests.simulation.world import BEGINNING, HUB_ONLY, Violation, World

# One chunk, a short one, and up to three.
_SIZES: Final = (300, 5000, CHUNK_BYTES, 2 * CHUNK_BYTES + 40_000)
_AGAIN: Final = 0.2


def attach(world: World, member: Member) -> None:
    """An event with content; now and then with content that lies here already."""
    scope, content = world.scope_of(member), _content(world, member)
    digest = digest_of(content)
    body = json.dumps({"content": digest.hex(), "size": len(content)}).encode()
    said = EventDraft(
        kind=ATTACHED, version=1, subject=Subject(f"note/{world.random.randrange(12)}"), body=body,
        occurred_at=BEGINNING, author="clerk",
    )  # fmt: skip
    events: list[Event] = []
    try:
        with member.replica.engine.begin() as conn:
            member.store.add(conn, content, TYPE)
            member.store.refer(conn, scope, digest, len(content), TYPE)
            events = member.ledger.append(conn, scope, [said])
    except BlobErased:
        return  # it was emptied here on purpose
    except Crash as crash:
        world.revive(member)
        if not crash.args[1]:
            return
    member.memory.contents.add(digest)
    world.places_of_content.setdefault(digest, set()).add(scope)
    world.journal.counts["contents"] += 1
    world.remember(member, scope, events)


def _content(world: World, member: Member) -> bytes:
    if world.random.random() < _AGAIN:
        with member.replica.engine.begin() as conn:
            known = [member.store.read(conn, digest) for digest, _ in sorted(member.store.references(conn))]
        if here := [content for content in known if content is not None]:
            return world.random.choice(here)
    return world.random.randbytes(world.random.choice(_SIZES))


def tidy(world: World, member: Member) -> None:
    """What runs every hour, or dies at it."""
    with world.living(member), member.replica.engine.begin() as conn:
        attaching.tidy(conn, member)


# --- what must come of it ----------------------------------------------------------------------------------------


def outstanding(world: World, station: Member) -> object:
    """What the lane between a station and the hub may still have to do."""
    wanted = []
    for member, other in ((world.hub, station), (station, world.hub)):
        with member.replica.engine.begin() as conn:
            peer = peers.get_peer(conn, other.node)
            lacking = member.store.find_all(conn, member.store.lacking(conn, peer.shared_scopes))
            wanted.append(sorted((blob.digest, len(blob.chunks)) for blob in lacking))
            wanted.append(member.store.at_hand(conn, peer.shared_scopes, other.node) if member is station else [])
    return wanted


def check(world: World) -> None:
    """Raises `Violation` where content is lacking that anybody has, or is left that was emptied."""
    hub, wanted_at_hub = world.hub, _references_at(world.hub)
    at_hub, places = _whole(hub), {digest for digest, _ in wanted_at_hub}
    for member in world.members:
        held, references = _whole(member), _references_at(member)
        standing = {digest for digest, scope in references if scope != HUB_ONLY or member is hub}
        if lost := member.memory.contents & standing - held:
            raise Violation(f"{member.name} has lost {_name(lost)}, which was attached there")
        if kept_back := standing & places & held - at_hub:
            raise Violation(f"{member.name} has {_name(kept_back)}, and the hub has not")
        if not member.revoked:
            if lacking := standing & at_hub - held:
                raise Violation(f"{member.name} lacks {_name(lacking)}, which the hub has")
            _nothing_emptied_is_left(member, standing)
            _nothing_foreign(world, member, held)
        world.journal.line(f"{member.name} ends with {len(held)} contents")


def _references_at(member: Member) -> dict[Reference, Subject]:
    with member.replica.engine.begin() as conn:
        return attaching.standing(conn, member)


def _whole(member: Member) -> set[bytes]:
    """Content that is all here, byte for byte."""
    with member.replica.engine.begin() as conn:
        known = {digest for digest, _ in member.store.references(conn)}
        return {digest for digest in known if member.store.read(conn, digest) is not None}


def _nothing_emptied_is_left(member: Member, standing: set[bytes]) -> None:
    erased = {attaching.named_by(event) for event in member.everything() if event.kind != ATTACHED} - {None}
    lying = {digest for digest, _ in member.store.files.names()}
    if left := erased & lying - standing:
        raise Violation(f"{member.name}: {_name(left)} was emptied and lies there still")


def _nothing_foreign(world: World, member: Member, held: set[bytes]) -> None:
    with member.replica.engine.begin() as conn:
        scopes = [scope for peer in peers.all_peers(conn) for scope in peer.shared_scopes]
    for digest in sorted(held) if member not in world.hubs else ():
        if not any(within(place, scopes) for place in world.places_of_content[digest]):
            raise Violation(f"{member.name} holds {_name({digest})}, which nobody wrote for it")


def _name(digests: Iterable[bytes | None]) -> str:
    return min(digest.hex()[:12] for digest in digests if digest is not None)
