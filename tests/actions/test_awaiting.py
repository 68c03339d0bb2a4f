"""Photos and scans that have not come: told of with a reason, and what is noted of them agrees with the facts."""

from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import delete
from structlog.testing import capture_logs

from service.actions import awaiting, housekeeping, projecting
from service.actions.attaching import attach
from service.actions.awaiting import Reason
from service.documents.uploads import Upload
from service.domain import facts as f
from sync.blob_files import chunk_hashes
from sync.blobs import BlobState
from sync.events import Scope
from sync.tables import blob_scopes, blobs
from tests.actions.township import TOWN, Township

PICTURE = Upload(content=b"as cleaned", media_type="image/jpeg", name="水沟.jpg")
DIGEST = sha256(PICTURE.content).digest()
SCOPE = Scope(f"{TOWN}/s/qd")


def attached_elsewhere(town: Township, content: bytes = b"never came") -> tuple[str, bytes]:
    """An opinion, and content that only its record has reached us of."""
    key, digest = town.register(), sha256(content).digest()
    fact = f.Attached(digest=digest.hex(), size=len(content), media_type="image/jpeg", name="x.jpg")
    with town.acting("liaison") as unit:
        unit.record(f"opinion/{key}", fact, scope=unit.station_scope("qd"))
    return key, digest


def late(town: Township, days: int = 4) -> awaiting.Awaiting:
    """What the pages would say so many days later; the clock is put back afterwards."""
    now = town.node.now
    town.node.now = lambda: now() + timedelta(days=days)
    try:
        with town.node.reading() as connection:
            return awaiting.late(town.node, connection, 10)
    finally:
        town.node.now = now


def state(town: Township, digest: bytes) -> BlobState | None:
    with town.node.reading() as connection:
        found = town.node.blobs.find(connection, digest)
    return None if found is None else found.state


def test_content_that_never_came_is_named_with_its_opinion_and_why_after_some_days(any_town: Township) -> None:
    key, digest = attached_elsewhere(any_town)
    assert late(any_town, days=2).count == 0
    (one,) = late(any_town).rows
    assert (one.opinion, one.digest, one.percent, one.reason) == (key, digest.hex(), 0, Reason.NO_CONTACT)
    assert one.reg_no


def test_the_reason_follows_what_is_known(town: Township, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"x" * 200_000
    _, digest = attached_elsewhere(town, content)
    with town.node.engine.begin() as connection:
        town.node.blobs.learn(connection, digest, len(content), chunk_hashes(content))
        town.node.blobs.put_chunk(connection, digest, 1, content[128 * 1024 :])
    assert [(one.reason, one.percent) for one in late(town).rows] == [(Reason.UNDER_WAY, 50)]
    monkeypatch.setattr(town.node.blobs.files, "_free_bytes", lambda: 0)
    assert [one.reason for one in late(town).rows] == [Reason.NO_ROOM]


def test_the_hourly_look_tells_of_what_is_missing_and_of_what_vanished(town: Township) -> None:
    town.do("liaison", attach, town.register(), PICTURE)
    attached_elsewhere(town)
    town.node.blobs.files.whole(DIGEST).unlink()
    with capture_logs() as early:
        assert housekeeping.sweep(town.node).removed == 0
    assert [entry["event"] for entry in early] == ["attachments.lost"]
    now = town.node.now
    town.node.now = lambda: now() + timedelta(days=4)
    with capture_logs() as after:
        housekeeping.sweep(town.node)
    told = [(entry["event"], entry["count"]) for entry in after if entry["event"].startswith("attachments.")]
    assert told == [("attachments.missing", 2)]


def test_a_reference_without_a_note_is_noted_again_and_fetched(town: Township) -> None:
    _, digest = attached_elsewhere(town)
    with town.node.engine.begin() as connection:
        connection.execute(delete(blob_scopes))
        connection.execute(delete(blobs))
    housekeeping.sweep(town.node)
    projecting.sweep(town.node)
    assert state(town, digest) is BlobState.REFERENCED
    with capture_logs() as quiet:
        housekeeping.sweep(town.node)
    assert "attachments.reconciled" not in [entry["event"] for entry in quiet]


def test_a_note_without_a_fact_lets_its_content_go_but_not_while_facts_wait(town: Township) -> None:
    key = town.register()
    town.do("liaison", attach, key, PICTURE)
    with town.node.engine.begin() as connection:
        stray = town.node.blobs.add(connection, b"no fact names it", "image/png")
        town.node.blobs.refer(connection, SCOPE, stray, 16, "image/png")
        town.node.ledger.mark_pending(connection, [f"opinion/{key}"])
    housekeeping.sweep(town.node)
    with town.node.reading() as connection:
        assert town.node.blobs.referring(connection, stray) == [SCOPE]
    projecting.sweep(town.node)
    housekeeping.sweep(town.node)
    with town.node.reading() as connection:
        assert town.node.blobs.referring(connection, stray) == []
        assert town.node.blobs.referring(connection, DIGEST) == [SCOPE]
