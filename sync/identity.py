"""Who this node is: its key, the epoch it was installed with, and signatures that cannot be used for anything else.

Two small files outlive the database: `node.key` (node id and private key, readable by the owner only) and
`node.epoch`. They are created complete or not at all, also when the power fails in between.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha512
from pathlib import Path
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sync.durable import create_file, make_folder
from sync.errors import BadSignature, IdentityUnusable
from sync.events import Origin, Stream, Subject

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_KEY_FILE: Final = "node.key"
_EPOCH_FILE: Final = "node.epoch"


class Vault(Protocol):
    """Seals bodies of protected subjects where they lie. `bound_to` ties the sealed bytes to their event."""

    def protects(self, subject: Subject) -> bool: ...
    def seal(self, data: bytes, bound_to: bytes) -> bytes: ...
    def open(self, sealed: bytes, bound_to: bytes) -> bytes: ...


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    node: str
    private_key: bytes
    format: str = "lianxin-node-key-1"


class _EpochFile(msgspec.Struct, frozen=True):
    epoch: str
    format: str = "lianxin-epoch-1"


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's name and signing key. Never print or log the private key.

    `origin` names the epoch of the installation; `epochs.current` tells the one in which the node appends now.
    `random_bytes` is where salts and new epochs come from: the operating system's, but for a simulation that repeats.
    """

    origin: Origin
    public_key: bytes
    _key: Ed25519PrivateKey
    random_bytes: Callable[[int], bytes] = os.urandom

    @property
    def node(self) -> str:
        return self.origin.node

    @property
    def epoch(self) -> str:
        return self.origin.epoch

    def sign(self, data: bytes) -> bytes:
        """64 bytes. `data` begins with its domain, see `statement`."""
        return self._key.sign(data)

    def agreement_key(self) -> bytes:
        """32 private bytes of the X25519 form of this key, under which others encrypt to this node. RFC 8032, 5.1.5."""
        return sha512(self._key.private_bytes_raw()).digest()[:32]

    @classmethod
    def load_or_create(cls, folder: Path) -> "Identity":
        """The identity kept in `folder`, minted on first use. Raises `IdentityUnusable`."""
        make_folder(folder)
        key_file = folder / _KEY_FILE
        if not key_file.exists():
            if (folder / _EPOCH_FILE).exists():
                raise IdentityUnusable(folder=str(folder), missing=_KEY_FILE)
            fresh = _KeyFile(node=secrets.token_hex(8), private_key=secrets.token_bytes(32))
            create_file(key_file, msgspec.json.encode(fresh))
        if not (folder / _EPOCH_FILE).exists():
            create_file(folder / _EPOCH_FILE, msgspec.json.encode(_EpochFile(epoch=secrets.token_hex(8))))
        return cls._load(folder)

    @classmethod
    def _load(cls, folder: Path) -> "Identity":
        try:
            kept = msgspec.json.decode((folder / _KEY_FILE).read_bytes(), type=_KeyFile)
            epoch = msgspec.json.decode((folder / _EPOCH_FILE).read_bytes(), type=_EpochFile)
            return cls.from_private_key(Origin(kept.node, epoch.epoch), kept.private_key)
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise IdentityUnusable(folder=str(folder), cause=type(error).__name__) from error

    @classmethod
    def from_private_key(
        cls, origin: Origin, private_key: bytes, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> "Identity":
        """An identity from 32 raw key bytes."""
        key = Ed25519PrivateKey.from_private_bytes(private_key)
        public_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(origin, public_key, key, random_bytes)


def statement(domain: str, *parts: bytes) -> bytes:
    """Bytes to sign: the domain, then each part with its length, so that no two statements share bytes."""
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return b"lianxin/" + domain.encode() + b"/1\0" + framed


def position_statement(stream: Stream, seq: int, chain: bytes) -> bytes:
    """What an origin signs to vouch for its stream up to `seq`."""
    return statement("position", str(stream).encode(), seq.to_bytes(8, "big"), chain)


def verify(public_key: bytes, signature: bytes, data: bytes) -> None:
    """Raises `BadSignature` unless `signature` was made over `data` with the key's private half."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise BadSignature() from None
