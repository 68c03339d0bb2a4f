"""Personal data at rest: AES-256-GCM under keys that lie beside the database, never in it.

Two keys, two purposes. `NodeVault` seals the bodies of `person` subjects on this disk; it is opened again when
they are sent to a node that may have them. `StationSeal` closes a secret reporter's data before it becomes a
fact at all: the hub stores what it cannot read.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync.durable import create_file, make_folder

_NONCE = 12


class CannotOpen(Exception):
    """The data was sealed under another key, or was changed."""


class _Key:
    def __init__(self, path: Path) -> None:
        self._aead = AESGCM(_load_or_create(path))

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, data, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Raises CannotOpen; trying again does not help."""
        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)
        except InvalidTag as error:
            raise CannotOpen from error


class NodeVault(_Key):
    """Seals what the ledger stores about people; `bound_to` ties a body to its event."""

    def protects(self, subject: str) -> bool:
        return subject.startswith("person/")


class StationSeal:
    """Closes secret reporters' data so that only this station opens it."""

    def __init__(self, path: Path) -> None:
        self._key = _Key(path)

    def close(self, data: bytes, person: str) -> str:
        return b64encode(self._key.seal(data, person.encode())).decode("ascii")

    def open(self, sealed: str, person: str) -> bytes:
        return self._key.open(b64decode(sealed), person.encode())


def _load_or_create(path: Path) -> bytes:
    """32 random bytes, readable by this user alone, on disk before anything is sealed with them."""
    if not path.exists():
        make_folder(path.parent)
        create_file(path, os.urandom(32))
    return path.read_bytes()
