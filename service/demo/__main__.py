"""`python -m service.demo`: a township to look at. `--scripted` plays the story by itself; `clock +2wd` moves its time.

Exit codes: 0 stopped or played to the end, 1 something failed (the sentence says what), 2 wrong usage, 130 a story cut
short by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from config import logs
from service.demo import town
from service.demo.county import USERNAME, CountyOffice
from service.demo.history import live_through
from service.demo.moving_clock import move
from service.demo.private_server import ServerError
from service.demo.processes import DemoError
from service.demo.township import HUB, Township

FOLDER = Path(".lianxin") / "demo"
PORT = 8420
ROLE_NAMES = {
    "deputy": "代表", "liaison": "联络员", "chief": "站长", "clerk": "受理员", "chair": "人大主席",
    "presidium": "主席团", "handler": "承办单位经办", "unit_head": "承办单位负责人", "auditor": "审计员",
    "admin": "管理员",
}  # fmt: skip


def main() -> int:
    args = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    logs.set_up("demo", level="WARNING")  # what this process does itself; each node writes a log of its own
    try:
        if args.clock:
            print(move(args.folder, args.clock[-1]))
            return 0
        if args.scripted:
            from service.demo.story import play

            return play(say)
        ports = [port() + n for n in range(1 + len(town.stations()))]
        county = CountyOffice(args.folder, ports[-1] + 1, say) if args.county else None
        return run(Township(args.folder, ports, say, above=county.address if county else None), county)
    except (DemoError, ServerError) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130 if args.scripted else 0  # a story that was cut short has not been played


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.demo", description=__doc__)
    steps = "move the running demo's time: +2wd, +3d, +4h, now"
    parser.add_argument("clock", nargs="*", metavar="clock +2wd", help=steps)
    parser.add_argument("--scripted", action="store_true", help="play the story on real processes and end")
    parser.add_argument("--county", action="store_true", help="with the hub of a county above the township's")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where the demo lives (default {FOLDER})")
    args = parser.parse_args()
    if args.clock and (len(args.clock) != 2 or args.clock[0] != "clock"):
        parser.error("usage: python -m service.demo clock +2wd")
    return args


def port() -> int:
    try:
        return int(os.environ.get("LIANXIN_DEMO_PORT", PORT))
    except ValueError:
        raise DemoError("LIANXIN_DEMO_PORT is not a number") from None


def run(township: Township, county: CountyOffice | None = None) -> int:
    """Start, show the table, wait for Ctrl-C; whatever happens, everything is stopped at the end."""
    began = time.monotonic()
    try:
        if county is not None:
            county.start()
        township.start(history=live_through)
        print(table(township), flush=True)
        if county is not None:
            county.join(township)
            print(f"  县枢纽 county hub   {county.address}/", flush=True)
            print(f"    {padded('受理员', 16)}{USERNAME:<14}{county.password}", flush=True)
        say(f"ready after {time.monotonic() - began:.0f} s. Ctrl-C stops everything; `make demo` finds it again.")
        return _watch(township)
    except KeyboardInterrupt:
        return 0
    finally:
        if township.processes:
            say("stopping ...")
        township.stop()
        if county is not None:
            county.stop()


def _watch(township: Township) -> int:
    while not (ended := township.ended()):
        time.sleep(1)
    for process in ended:
        print(f"demo: {process.name} ended by itself:\n{process.last_words()}", file=sys.stderr)
    return 1


def table(township: Township) -> str:
    """Addresses, roles, names and passwords, in columns that hold with Chinese text."""
    names = {HUB: "镇枢纽 hub", **{code: f"{name} {code}" for code, name in town.stations().items()}}
    lines = ["", "  LIANXIN 连心 — sample town, all people and figures are made up (虚构)"]
    for home, title in names.items():
        lines += ["", f"  {title}   {township.addresses[home]}/"]
        for account in town.accounts():
            if account.home == home:
                role = padded(ROLE_NAMES[account.role.value], 16)
                lines.append(f"    {role}{account.username:<14}{township.passwords[account.username]}")
    return "\n".join([*lines, "", f"  folder {township.folder} (passwords in demo.json), test clock: "
                                  "python -m service.demo clock +2wd", ""])  # fmt: skip


def padded(text: str, width: int) -> str:
    """Left-aligned by what a terminal shows: a Chinese character takes two columns."""
    return text + " " * (width - sum(2 if ord(ch) > 0x2E7F else 1 for ch in text))


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
