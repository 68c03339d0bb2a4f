"""Bytes that earlier versions wrote are read for ever. A file is added with each format, never changed."""

from pathlib import Path

import pytest

from sync import bundle, peers
from sync.events import Origin, Scope
from sync.identity import Identity
from sync.limits import Limits
from sync.peers import Peer
from sync.testing import Lab

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.lxb"))
ORIGIN = Origin("00000000000000aa", "00000000000000bb")
PUBLIC_KEY = Identity.from_private_key(ORIGIN, bytes(range(32))).public_key


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_bundle_of_an_earlier_version_is_stored_and_verified(file: Path, sqlite_lab: Lab) -> None:
    hub = sqlite_lab.node("hub")
    old = Peer(node=ORIGIN.node, public_key=PUBLIC_KEY, name="old", read_scopes=(), write_scopes=(Scope("t/s/a"),))
    opened = bundle.unpack(file.read_bytes(), PUBLIC_KEY, Limits())
    with hub.engine.begin() as conn:
        peers.add_peer(conn, old, sqlite_lab.clock())
        outcome = hub.ledger.accept(conn, opened, old)
        assert (outcome.stored, outcome.refusals) == (130, [])
        assert not hub.ledger.verify(conn)
    (first, *_, last) = hub.events()
    assert (first.body, last.body) == ('{"text": "下水道堵了 0"}'.encode(), None)
    assert hub.events("note/2")[0].once == "card:2"
