"""Who may import whom: the rooms of docs/architecture.md, held by import-linter and by reading every import."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[2]
ROOMS = ("config", "sync", "service", "workers")

# What each room may use beyond the standard library and what the import contracts allow it of ours. A new name here
# is a decision: the replication library, for one, must stay installable without the web application.
LIBRARIES = {
    "config": {"pydantic", "pydantic_settings", "structlog"},
    "sync": {"sqlalchemy", "requests", "msgspec", "zstandard", "cryptography", "pyrage", "structlog", "pysqlite3"},
    "service/domain": set[str](),
}

# Frameworks that one place knows, so that the rest can be read, tested and kept without them.
ONLY_IN = {
    "flask": ("service/web",),
    "celery": ("service/jobs.py", "workers"),
    "kombu": ("service/jobs.py", "workers"),
    "pysqlite3": ("service/store", "sync/testing"),
    "psycopg": ("service/store", "service/demo"),
    "psutil": ("service/demo",),
}

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common", "misc"}


def sources(*places: str) -> Iterator[Path]:
    for place in places:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of the modules a file imports, at its top or inside functions; relative ones are left out."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def libraries(path: Path) -> set[str]:
    """Top-level names of third-party packages a file imports."""
    tops = {name.partition(".")[0] for name in imported(path)}
    return tops - set(sys.stdlib_module_names) - set(ROOMS)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_import_contracts_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("room", LIBRARIES)
def test_a_room_uses_only_its_libraries(room: str) -> None:
    strangers = {shown(path): found for path in sources(room) if (found := libraries(path) - LIBRARIES[room])}
    assert strangers == {}


@pytest.mark.parametrize("framework", ONLY_IN)
def test_a_framework_is_known_in_one_place(framework: str) -> None:
    allowed = set(sources(*ONLY_IN[framework]))
    # Its extensions count as the framework itself: flask_login is Flask.
    strangers = [
        shown(path)
        for path in sources(*ROOMS)
        if path not in allowed and any(name.partition("_")[0] == framework for name in libraries(path))
    ]
    assert strangers == []


def test_the_domain_imports_nothing_of_ours_but_itself() -> None:
    foreign = {
        shown(path): [
            name for name in imported(path) if name.partition(".")[0] in ROOMS and not name.startswith("service.domain")
        ]
        for path in sources("service/domain")
    }
    assert {path: names for path, names in foreign.items() if names} == {}


def test_config_and_sync_stand_alone() -> None:
    for room in ("config", "sync"):
        others = set(ROOMS) - {room}
        strangers = [
            shown(path) for path in sources(room) if {name.partition(".")[0] for name in imported(path)} & others
        ]
        assert strangers == [], room


def test_every_file_is_named_after_its_job() -> None:
    vague = [shown(path) for path in sources(*ROOMS, "tests", "bench") if path.stem in VAGUE_NAMES]
    assert vague == []


def test_every_file_states_its_purpose() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sources(*ROOMS)}
    silent = [shown(path) for path, text in texts.items() if text and not ast.get_docstring(ast.parse(text))]
    assert silent == []
