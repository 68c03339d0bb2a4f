"""A station at rest: memory of its one process (web, worker and metronome), idle CPU, seconds to the first page.

Measured on an enrolled station of the demo's township, after somebody has signed in and opened its pages.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil

from service.demo.browser import Browser
from service.demo.private_server import free_port
from service.demo.township import Township

STATION = "qd"
IDLE_S = 20.0
SETTLE_S = 5.0
RESIDENT_MB_BUDGET, CPU_PERCENT_BUDGET, FIRST_PAGE_S_BUDGET = 150.0, 1.0, 2.0


def run() -> dict[str, float | bool]:
    """Megabytes (10^6 bytes) resident, percent of one core over 20 idle seconds, seconds from launch to first page."""
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        township = Township(Path(folder), [free_port() for _ in range(4)], lambda _: None)
        try:
            township.start()
            township.processes[STATION].stop()
            first_page_s = township.start_station(STATION)
            _visit(township)
            return _at_rest(township) | _judged_start(first_page_s)
        finally:
            township.stop()


def _visit(township: Township) -> None:
    browser = Browser(township.addresses[STATION])
    home = browser.sign_in(f"{STATION}.liaison", township.passwords[f"{STATION}.liaison"])
    for link in home.links:
        if link.startswith(township.addresses[STATION]):
            browser.open(link)
    time.sleep(SETTLE_S)


def _at_rest(township: Township) -> dict[str, float | bool]:
    pid = township.processes[STATION].pid
    assert pid is not None
    process = psutil.Process(pid)
    before = process.cpu_times()
    time.sleep(IDLE_S)
    after = process.cpu_times()
    percent = 100 * (after.user + after.system - before.user - before.system) / IDLE_S
    resident_mb = process.memory_info().rss / 1e6
    return {
        "resident_mb": round(resident_mb, 1), "resident_mb_budget": RESIDENT_MB_BUDGET,
        "threads": process.num_threads(), "child_processes": len(process.children(recursive=True)),
        "idle_cpu_percent": round(percent, 2), "idle_cpu_percent_budget": CPU_PERCENT_BUDGET,
        "resident_within_budget": resident_mb <= RESIDENT_MB_BUDGET,
        "idle_cpu_within_budget": percent <= CPU_PERCENT_BUDGET,
    }  # fmt: skip


def _judged_start(first_page_s: float) -> dict[str, float | bool]:
    return {"first_page_s": round(first_page_s, 2), "first_page_s_budget": FIRST_PAGE_S_BUDGET,
            "first_page_within_budget": first_page_s <= FIRST_PAGE_S_BUDGET}  # fmt: skip
