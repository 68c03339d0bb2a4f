"""docs/sync-cases.md lists every case that replication must survive; each names the tests that hold it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sync-cases.md"
CASES = range(1, 140)
NOT_APPLICABLE = "Not applicable:"
NO_TEST = "No test yet."
# The only rows that may stand without a test. Empty is the aim.
WITHOUT_TEST: frozenset[int] = frozenset()

_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_TEST = re.compile(r"`([\w/.-]+\.py)::(\w+)`")


@cache
def rows() -> list[tuple[int, str, str]]:
    """Number, case and what stands behind it, in the order of the page."""
    return [(int(number), case, behind) for number, case, behind in _ROW.findall(PAGE.read_text(encoding="utf-8"))]


@cache
def names_in(file: str) -> frozenset[str]:
    """Names of the test functions in a file; also those of a contract that others inherit."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(one.name for one in found if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))


def test_every_case_stands_on_the_page_once_and_in_order() -> None:
    assert [number for number, _, _ in rows()] == list(CASES)


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row[0]))
def test_a_case_names_tests_that_exist_or_a_reason(row: tuple[int, str, str]) -> None:
    number, _, behind = row
    named = _TEST.findall(behind)
    missing = [f"{file}::{test}" for file, test in named if test not in names_in(file)]
    assert not missing, "renamed, moved or gone"
    if behind.startswith(NOT_APPLICABLE):
        assert len(behind) > len(NOT_APPLICABLE) + 30, "a reason that somebody can judge"
    elif not named:
        assert behind == NO_TEST
    assert (behind == NO_TEST) == (number in WITHOUT_TEST)
