"""Keys and epochs on disk, and signatures that serve one purpose only."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sync.errors import BadSignature, IdentityUnusable
from sync.identity import Identity, statement, verify
from sync.testing import refused


def test_an_identity_is_minted_once(tmp_path: Path) -> None:
    first = Identity.load_or_create(tmp_path / "名" / "keys")
    again = Identity.load_or_create(tmp_path / "名" / "keys")
    assert (first.origin, first.public_key) == (again.origin, again.public_key)
    assert len(first.node) == len(first.epoch) == 16


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such modes")
def test_the_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Identity.load_or_create(tmp_path)
    assert stat.S_IMODE((tmp_path / "node.key").stat().st_mode) == 0o600


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        minted = list(pool.map(lambda _: Identity.load_or_create(tmp_path), range(16)))
    assert len({identity.origin for identity in minted}) == 1
    assert {file.name for file in tmp_path.iterdir()} == {"node.key", "node.epoch"}


def test_a_lost_key_is_not_replaced_silently(tmp_path: Path) -> None:
    Identity.load_or_create(tmp_path)
    (tmp_path / "node.key").unlink()
    with refused(IdentityUnusable):
        Identity.load_or_create(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"node": "x", "private_key": "AA=="}'])
def test_a_damaged_key_is_named(tmp_path: Path, content: bytes) -> None:
    Identity.load_or_create(tmp_path)
    (tmp_path / "node.key").write_bytes(content)
    with refused(IdentityUnusable):
        Identity.load_or_create(tmp_path)


def test_a_private_key_does_not_show_in_a_printed_identity(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path)
    assert b"private_key" in (tmp_path / "node.key").read_bytes()
    assert "private" not in repr(identity).lower().replace("ed25519privatekey", "")


def test_a_signature_serves_one_purpose(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path)
    signature = identity.sign(statement("receipt", b"ab", b"c"))
    verify(identity.public_key, signature, statement("receipt", b"ab", b"c"))
    for other in (statement("position", b"ab", b"c"), statement("receipt", b"a", b"bc"), statement("receipt", b"abc")):
        with refused(BadSignature):
            verify(identity.public_key, signature, other)
    with refused(BadSignature):
        verify(b"short", signature, statement("receipt"))
