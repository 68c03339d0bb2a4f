"""Log lines: which node, which fields, and nothing of what stood on the stack."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from config import logs


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    """Leave logging as it was for the tests that follow."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_every_thread_names_its_node(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("qd", "json")
    thread = threading.Thread(target=lambda: structlog.get_logger("t").info("exchange.done", pushed=3))
    thread.start()
    thread.join()
    line = json.loads(capsys.readouterr().err)
    assert (line["node"], line["event"], line["pushed"]) == ("qd", "exchange.done", 3)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_values(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("qd", form)  # type: ignore[arg-type]
    words = "".join(["the citizen's", " own words"])
    try:
        raise RuntimeError(len(words))
    except RuntimeError:
        structlog.get_logger("t").exception("fold.failed")
    printed = capsys.readouterr().err
    assert "RuntimeError" in printed
    assert words not in printed
