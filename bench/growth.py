"""Time against events, from a thousand to a million: this program, PostgreSQL's COPY, and PouchDB.

The hub runs as installed (see end_to_end). PouchDB with its own server is the peer that a user could pick instead:
the same facts as documents, replicated over loopback HTTP to express-pouchdb, both ends on LevelDB, in batches ten
times the default, which is faster. It needs Node.js and npm; where they are missing, or where the next size would take
too long, its figures stay empty. PouchDB signs nothing, chains nothing and folds nothing; it stores and acknowledges.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench import copy_peer, facts
from bench.end_to_end import Numbers, send, town

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PLOT = Path(__file__).parent.parent / "docs" / "pictures" / "growth.svg"
PEER = Path(__file__).parent / "pouchdb"
PEER_BATCH = 1000
_COMPARED = 100_000
LONGEST_S = 1200.0  # nobody waits longer for the peer's next size

Seconds = dict[int, float]


def run() -> dict[str, Any]:
    """Seconds by size: stored and verified, applied, COPY, PouchDB; how they grow; and the plot in docs/pictures."""
    stored: Seconds = {}
    applied: Seconds = {}
    copied: Seconds = {}
    with town() as (station, hub):
        numbers = Numbers()
        send(station, hub, numbers.next(1_000))  # connections open, statements prepared, calendars indexed
        for size in SIZES:
            took = send(station, hub, numbers.next(size))
            stored[size], applied[size] = took.stored_s, took.applied_s
            copied[size] = size / copy_peer.rows_per_s(hub.engine, size, runs=1)
    pouchdb = _pouchdb_seconds()
    _plot({"PouchDB, stored": pouchdb, "Lianxin, stored, verified and folded": applied,
           "Lianxin, stored and verified": stored, "plain COPY": copied})  # fmt: skip
    return {
        "stored_s": _rounded(stored), "applied_s": _rounded(applied), "copy_s": _rounded(copied),
        "pouchdb_s": _rounded(pouchdb),
        "time_per_doubling": round(_per_doubling(applied), 2),
        "pouchdb_time_per_doubling": round(_per_doubling(pouchdb), 2) if len(pouchdb) > 1 else None,
        "times_pouchdb": round(pouchdb[_COMPARED] / stored[_COMPARED], 1) if _COMPARED in pouchdb else None,
    }  # fmt: skip


def _rounded(seconds: Seconds) -> Seconds:
    return {size: round(took, 3) for size, took in seconds.items()}


def _per_doubling(seconds: Seconds) -> float:
    """How much longer twice the events take, on average between the smallest and the largest size."""
    few, many = min(seconds), max(seconds)
    return float((seconds[many] / seconds[few]) ** (1 / math.log2(many / few)))


# --- the peer ----------------------------------------------------------------------------------------------------


def _pouchdb_seconds() -> Seconds:
    """Seconds of PouchDB's replication by size; the sizes that it could be asked for."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return {}
    seconds: Seconds = {}
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-pouchdb-") as name:
        folder = Path(name)
        _install(npm, folder)
        with _serving(node, folder) as url:
            _replicated_s(node, folder, url, SIZES[0])  # compiled and warm, like the other side
            for size in SIZES:
                if seconds and seconds[max(seconds)] * size / max(seconds) > LONGEST_S:
                    break
                seconds[size] = _replicated_s(node, folder, url, size)
    return seconds


def _install(npm: str, folder: Path) -> None:
    for part in PEER.iterdir():
        shutil.copy(part, folder)
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                   cwd=folder, check=True, stdout=subprocess.DEVNULL)  # fmt: skip


@contextmanager
def _serving(node: str, folder: Path) -> Iterator[str]:
    """PouchDB's own server in a process of its own; yields its address."""
    (folder / "server").mkdir()
    server = subprocess.Popen([node, "server.mjs", str(folder / "server")], cwd=folder, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.stdin.close()
        server.wait(timeout=30)


def _replicated_s(node: str, folder: Path, url: str, size: int) -> float:
    """Seconds until the server holds `size` new documents; loading them into the local database is not counted."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        documents, database = Path(scratch) / "documents", Path(scratch).name
        _write_documents(documents, size)
        command = [node, "replicate.mjs", str(documents), str(Path(scratch) / "local"), f"{url}/{database}",
                   str(PEER_BATCH)]  # fmt: skip
        said = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    answer = json.loads(said.stdout)
    assert answer["documents"] == size, answer
    return float(answer["seconds"])


def _write_documents(path: Path, size: int) -> None:
    """The same facts as the station sends, a JSON object a line."""
    opinions = range(1, 1 + size // facts.EVENTS_PER_OPINION)
    with path.open("w", encoding="utf-8") as file:
        for number, draft in enumerate(facts.drafts(facts.at_the_station, opinions, facts.LIAISON)):
            document = {"_id": f"{draft.subject}/{number:08d}", "kind": draft.kind, "version": draft.version,
                        "author": draft.author, "occurred_at": draft.occurred_at.isoformat(),
                        "body": json.loads(draft.body)}  # fmt: skip
            file.write(json.dumps(document, ensure_ascii=False) + "\n")


# --- the plot ----------------------------------------------------------------------------------------------------


def _plot(lines: dict[str, Seconds]) -> None:
    """Seconds against events, both logarithmic; text stays text, and two runs differ only in their figures."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lianxin"}):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        for (name, seconds), marker in zip(lines.items(), "so^x", strict=True):
            axes.loglog(list(seconds), list(seconds.values()), marker=marker, label=name)
        axes.set(xlabel="events", ylabel="seconds", title="From the first request until everything has arrived")
        axes.grid(visible=True, which="major", alpha=0.4)
        axes.legend()
        PLOT.parent.mkdir(exist_ok=True)
        figure.savefig(PLOT, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    print(run())
