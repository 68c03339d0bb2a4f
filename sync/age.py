"""Files for one node, in the age format (age-encryption.org/v1, X25519), so that the standard `age` tool opens them.

A node's age key is the X25519 form of its Ed25519 key, as for `ssh-ed25519` keys in age: whoever knows the key that
checks a node's signatures can write to it, also a station that has had no line since it was enrolled. Decision 0014.
"""

from typing import Final

import pyrage

from sync.errors import StickFileDamaged
from sync.identity import Identity

_FIELD: Final = 2**255 - 19
_CHARACTERS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECK_CHARACTERS: Final = 6


def seal(data: bytes, public_key: bytes) -> bytes:
    """The data encrypted to the node with this Ed25519 public key; never twice the same bytes."""
    return bytes(pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(recipient(public_key))]))


def unseal(sealed: bytes, identity: Identity) -> bytes:
    """What was encrypted to this node. Raises `StickFileDamaged` for anything else, also for a part of it."""
    try:
        return bytes(pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(secret(identity))]))
    except pyrage.DecryptError as error:
        raise StickFileDamaged(cause=str(error)) from None


def recipient(public_key: bytes) -> str:
    """The `age1…` name of the node with this Ed25519 public key."""
    return _bech32("age", _montgomery(public_key))


def secret(identity: Identity) -> str:
    """The `AGE-SECRET-KEY-1…` of this node. Never print or log it."""
    return _bech32("age-secret-key-", identity.agreement_key()).upper()


def _montgomery(public_key: bytes) -> bytes:
    """The point of an Ed25519 key on the curve of X25519: u = (1 + y) / (1 - y). RFC 7748, section 4.1."""
    y = int.from_bytes(public_key, "little") & (2**255 - 1)
    u = (1 + y) * pow(1 - y, -1, _FIELD) % _FIELD
    return u.to_bytes(32, "little")


def _bech32(prefix: str, data: bytes) -> str:
    """Bech32 as age writes keys. BIP 173."""
    number, bits = int.from_bytes(data, "big"), len(data) * 8
    padding = -bits % 5
    number <<= padding
    values = [number >> shift & 31 for shift in range(bits + padding - 5, -1, -5)]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = _checksum([*expanded, *values, *[0] * _CHECK_CHARACTERS]) ^ 1
    values += [check >> 5 * (_CHECK_CHARACTERS - 1 - place) & 31 for place in range(_CHECK_CHARACTERS)]
    return prefix + "1" + "".join(_CHARACTERS[value] for value in values)


def _checksum(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check
