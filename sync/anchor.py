"""The anchor: a small file beside the database that remembers how far this node had come, and on which machine.

A restored or copied database cannot know that it is old; the anchor can. It is written after exchanges and every few
minutes, durably, and may lag behind. Only an anchor that is *ahead* of the database, or of another machine, makes the
node suspicious; it then opens a new epoch before anything is recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sync import epochs, streams
from sync.durable import replace_file
from sync.events import Origin, Scope, Stream
from sync.identity import Identity
from sync.packing import chain_at
from sync.positions import Heads, Position

ANCHOR_FILE: Final = "node.anchor"
# A machine hint that changes this often (containers, broken firmware) says nothing, and is not believed any more.
MACHINE_ALARMS_MAX: Final = 3
_MACHINE_ALARMS_WITHIN: Final = timedelta(days=30)
_MACHINE_ID_FILES: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class _Anchor(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    epoch: str
    machine: str
    heads: dict[str, tuple[int, bytes]]
    format: str = "lianxin-anchor-1"


@dataclass(slots=True)
class Anchor:
    """The anchor of one data folder. `machine` gives a text that differs between computers, "" where none is known."""

    folder: Path
    machine: Callable[[], str] = field(default_factory=lambda: machine_id)
    _written: _Anchor | None = None

    def examine(self, conn: Connection, identity: Identity, now: datetime) -> str | None:
        """Compare with the database and open a new epoch where they do not fit; the reason, None when all is well.

        Reasons: `database_older`, `database_differs`, `anchor_missing` (missing or unreadable, though there was one and
        there are events of our own) and `machine_changed`. The anchor is written anew either way, before the caller
        commits: if that commit fails, the anchor names an epoch nobody knows, and the next start opens another one.
        """
        kept, own = self._read(), _own_heads(conn, identity)
        reason = self._suspicion(conn, identity, kept, own, now)
        epochs.register(conn, identity, now)
        if reason is not None:
            epochs.open_new(conn, identity, reason, now)
        self.write(conn, identity)
        return reason

    def write(self, conn: Connection, identity: Identity) -> bool:
        """Bring the file up to date; whether it had to be. Costs one query while nothing changed."""
        origin = epochs.current(conn, identity)
        heads = {
            str(stream.scope): (head.seq, head.chain)
            for stream, head in _own_heads(conn, identity).items() if stream.origin == origin
        }  # fmt: skip
        anchor = _Anchor(node=origin.node, epoch=origin.epoch, machine=self._hint(identity), heads=heads)
        if anchor == self._written:
            return False
        replace_file(self.folder / ANCHOR_FILE, msgspec.json.encode(anchor))
        self._written = anchor
        return True

    def _read(self) -> _Anchor | None:
        try:
            return msgspec.json.decode((self.folder / ANCHOR_FILE).read_bytes(), type=_Anchor)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def _suspicion(
        self, conn: Connection, identity: Identity, kept: _Anchor | None, own: Heads, now: datetime
    ) -> str | None:
        if kept is None or kept.node != identity.node:
            return "anchor_missing" if own and epochs.is_registered(conn) else None
        if not epochs.is_known(conn, identity, kept.epoch):
            return "database_older"
        for scope, (seq, chain) in kept.heads.items():
            stream = Stream(Origin(identity.node, kept.epoch), Scope(scope))
            held = own.get(stream, Position(0, b""))
            if held.seq < seq:
                return "database_older"
            row = streams.find(conn, stream)
            if row is not None and chain_at(conn, row, seq) != chain:
                return "database_differs"
        return self._other_machine(conn, identity, kept, now)

    def _other_machine(self, conn: Connection, identity: Identity, kept: _Anchor, now: datetime) -> str | None:
        hint = self._hint(identity)
        if not hint or not kept.machine or hint == kept.machine:
            return None
        since = now - _MACHINE_ALARMS_WITHIN
        alarms = [one for one in epochs.opened(conn) if one.reason == "machine_changed" and one.opened_at > since]
        return None if len(alarms) >= MACHINE_ALARMS_MAX else "machine_changed"

    def _hint(self, identity: Identity) -> str:
        """The machine's id, bound to this node: the file must not tell anybody which computer it came from."""
        machine = self.machine()
        return sha256(f"{identity.node} {machine}".encode()).hexdigest()[:32] if machine else ""


def machine_id() -> str:
    """What the operating system calls this computer, "" when it does not say (as in most containers)."""
    for file in _MACHINE_ID_FILES:
        try:
            if text := file.read_text(encoding="ascii", errors="ignore").strip():
                return text
        except OSError:
            continue
    return _windows_machine_id()


def _windows_machine_id() -> str:
    try:
        winreg: Any = import_module("winreg")  # exists there alone
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    except (ImportError, OSError):
        return ""


def _own_heads(conn: Connection, identity: Identity) -> Heads:
    return streams.heads_of(conn, identity.node)
