"""The house around the code: locks, examples and commands say the same as what they stand for."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from config.settings import PREFIX, NodeRole, Settings, load_settings, unknown_keys

ROOT = Path(__file__).parents[2]
LOCKS = ("station", "hub", "lock", "build")


def locked(name: str) -> dict[str, str]:
    """Pinned requirement lines of a lock file by normalised name; a name with two lines (markers) keeps both."""
    lines: dict[str, str] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if match := re.match(r"([a-z0-9-]+)==", line):
            lines[match.group(1)] = lines.get(match.group(1), "") + line
    return lines


def wanted(requirement: str) -> str:
    """Normalised name of a requirement such as "Flask-WTF>=1.3; python_version < '4'"."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def example(role: str) -> dict[str, str]:
    """Settings of an example file, those that are commented out included."""
    text = (ROOT / "config" / f"{role}.example.env").read_text(encoding="utf-8")
    return dict(re.findall(rf"^#?({PREFIX}[A-Z_]+)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index_and_pins_every_line_with_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"https?:|file:|--index-url|--extra-index-url|--find-links|--trusted-host", text)
    requirements = [line for line in text.splitlines() if not line.startswith(" ")]
    assert all(re.match(r"[a-z0-9-]+==\S+ (; .+ )?\\$", line) for line in requirements)
    assert text.count("--hash=sha256:") >= len(requirements)


def test_locks_hold_what_the_project_asks_for() -> None:
    table = project()
    extras = table["optional-dependencies"]
    wishes: dict[str, list[str]] = {"station": table["dependencies"], "hub": extras["hub"], "lock": extras["dev"]}
    for name, requirements in wishes.items():
        missing = {wanted(one) for one in requirements} - set(locked(name)) - {"lianxin"}
        assert missing == set(), name


def test_the_same_releases_are_installed_everywhere() -> None:
    station, hub, lock, build = (set(locked(name).items()) for name in LOCKS)
    assert station <= hub <= lock
    assert build <= lock


@pytest.mark.parametrize("role", NodeRole)
def test_an_example_of_settings_can_be_used_as_it_stands(role: NodeRole, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("postgresql+psycopg://lianxin:secret@127.0.0.1/lianxin")
    given = {name: str(secret) if name.endswith("_FILE") else value for name, value in example(role).items()}
    assert load_settings(given).role is role
    assert unknown_keys(given) == []


def test_the_examples_mention_every_setting() -> None:
    mentioned = {name for role in NodeRole for name in example(role)}
    missing = {PREFIX + name.upper() for name in Settings.model_fields} - mentioned
    missing = {name for name in missing if f"{name}_FILE" not in mentioned}
    # The test clock is for rehearsals and has no place in a real node's settings.
    assert missing == {f"{PREFIX}TEST_CLOCK"}


def test_ci_runs_the_commands_of_the_makefile() -> None:
    ci = ROOT / ".ci" / "run"
    assert os.access(ci, os.X_OK)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"help", "dev", "demo", "test", "check", "bench", "fmt", "clean"} <= targets
    assert set(re.findall(r"^make ([a-z]+)$", ci.read_text(), re.MULTILINE)) == {"check", "test"}
