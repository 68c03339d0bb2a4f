"""Disks that can be full: for each node a small file system of its own (tmpfs), shrunk to what lies on it.

Nothing of it is pretended: the kernel refuses the next block with ENOSPC, to SQLite, PostgreSQL and Redis alike.
Mounting needs no root, only a mount namespace, which `python -m tests.chaos` enters when it starts; with the process
the namespace and its file systems are gone, however it ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOMY_BYTES = 3 * 2**30  # a ceiling, not memory: tmpfs takes what is written to it
_TRIES = 20
INSIDE = "LIANXIN_CHAOS_NAMESPACE"  # removed again before any node is started


class SmallDisk:
    """A file system in memory at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_full = False

    def mount(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = f"size={ROOMY_BYTES},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "lianxin-chaos", str(self.folder)], check=True)

    def fill(self, left_bytes: int = 0) -> None:
        """From now on only `left_bytes` more fit on it."""
        for _ in range(_TRIES):  # what is written between measuring and shrinking does not fit any more
            used = shutil.disk_usage(self.folder).used
            if self._resize(used + left_bytes):
                self.is_full = True
                return
        raise RuntimeError(f"{self.folder} grows faster than it can be measured")

    def free(self) -> None:
        if not self._resize(ROOMY_BYTES):
            raise RuntimeError(f"{self.folder} cannot be enlarged")
        self.is_full = False

    def _resize(self, size: int) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        return not subprocess.run(command, capture_output=True, check=False).returncode


def enter_namespace() -> bool:
    """Start this program once more where it may mount; False where that is not possible, or where it is already."""
    if os.environ.pop(INSIDE, None):
        return True
    way = _way_in()
    if way is None:
        return False
    command = [*way, sys.executable, "-m", "tests.chaos", *sys.argv[1:]]
    os.execvpe(command[0], command, os.environ | {INSIDE: "1"})


def _way_in() -> list[str] | None:
    """How to enter a mount namespace here: as root, or as anybody where the system allows user namespaces."""
    ways = (["unshare", "--mount"], ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"])
    proof = ["sh", "-c", "mount -t tmpfs -o size=1m lianxin-chaos /mnt && mount -o remount,size=2m /mnt"]
    for way in ways if shutil.which("unshare") else ():
        if not subprocess.run([*way, *proof], capture_output=True, check=False).returncode:
            return way
    return None
