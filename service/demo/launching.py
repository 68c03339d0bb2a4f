"""What stands before a server's command line: it ends with its owner and, where it must, is not root."""

import os
import pwd
import re
import shutil
import threading
from pathlib import Path

from service.demo.private_server import ServerError

UNPRIVILEGED_USER = "nobody"
CAP_DAC_OVERRIDE, CAP_SETPCAP = 1, 8  # numbers of linux/capability.h


def launcher(*, unprivileged: bool) -> list[str]:
    """What stands before a server's command line so that it ends with its owner and, if asked, is not root.

    PostgreSQL refuses to run as root. As nobody it could not enter a folder below /root, so it keeps the one capability
    that root's own folders need, where root itself has it (in a container it may not).
    """
    setpriv = shutil.which("setpriv")
    drop = unprivileged and os.geteuid() == 0
    if drop and setpriv is None:
        raise ServerError(
            "PostgreSQL does not run as root, and `setpriv` (util-linux) to start it as nobody is missing"
        )
    if setpriv is None:
        return []
    return [setpriv, *(as_nobody() if drop else []), *end_with_owner(), "--"]


def as_nobody() -> list[str]:
    """Options of setpriv that leave root behind.

    `initdb` asks access(2) whether it may run its neighbours, and that call disregards capabilities of an ordinary user
    unless the securebit is set.
    """
    nobody = pwd.getpwnam(UNPRIVILEGED_USER)
    identity = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    if not (holds(CAP_DAC_OVERRIDE) and holds(CAP_SETPCAP)):
        return identity
    return [*identity, "--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def end_with_owner() -> list[str]:
    """Options of setpriv that let the server end when its owner is killed.

    The kernel watches the thread that started the process, not the whole owner, hence only from the main thread.
    """
    lasting = threading.current_thread() is threading.main_thread()
    return ["--pdeathsig=INT"] if lasting else []


def holds(capability: int) -> bool:
    """True where this process has the numbered Linux capability in effect."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(effective and int(effective.group(1), 16) >> capability & 1)


def owned_folder(folder: Path) -> None:
    """Makes a folder that the (possibly unprivileged) server owns and nobody else enters."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
