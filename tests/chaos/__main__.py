"""`python -m tests.chaos --kills 500 --seed 7`: a township of real processes is damaged while people work in it.

Exit code 0 when, after healing, nothing acknowledged was lost or doubled, nothing is stuck and every node checks
clean; 1 otherwise, with the seed, what is wrong, and the folder that keeps logs and databases. `--record` writes the
result into docs/chaos.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from config import logs
from service.demo.township import HUB
from tests.chaos.disks import enter_namespace
from tests.chaos.harm import Done, Harm
from tests.chaos.judging import Verdict, judge
from tests.chaos.people import Clerk, Person, Recorder, leave_all
from tests.chaos.recording import record
from tests.chaos.stage import VILLAGER, Stage

KILLS = 100
PAUSE_S = 1.0  # of a liaison officer between two forms, on average


def main() -> int:
    may_mount = enter_namespace()
    args = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    logs.set_up("chaos", level="ERROR")
    folder = Path(tempfile.mkdtemp(prefix="lianxin-chaos-"))
    say(f"seed {args.seed}, {args.kills} kills, {folder}" + ("" if may_mount else "; no mount namespace, no full disk"))
    began = time.monotonic()
    done, verdict, line = _run(folder, args.kills, args.seed, may_mount=may_mount)
    result = _result(args, done, verdict, line, time.monotonic() - began)
    print(json.dumps(result, ensure_ascii=False, indent=2))
    for sentence in verdict.sentences():
        print(f"seed {args.seed}: {sentence}", file=sys.stderr)
    if args.record:
        record(result, list(verdict.sentences()))
    if verdict.is_good:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    print(f"seed {args.seed}: logs and databases are in {folder / 'evidence'}", file=sys.stderr)
    return 1


def _run(folder: Path, kills: int, seed: int, *, may_mount: bool) -> tuple[Done, Verdict, dict[str, float]]:
    stage = Stage(folder, seed, may_mount=may_mount)
    try:
        stage.open()
        people, harm = _people(stage, seed), Harm(stage, seed)
        opened_at = time.monotonic()
        for person in people:
            person.start()
        harm.run(kills, say)
        line = {"minutes": round((time.monotonic() - opened_at) / 60, 1),
                "kilobytes": round(stage.lines[VILLAGER].bytes_passed / 1000),
                "cuts": stage.lines[VILLAGER].cuts}  # fmt: skip
        say("healing")
        harm.heal()
        late = leave_all(people)
        verdict = judge(stage, [person.promises for person in people], harm.keep_up, say)
        verdict.stuck += [f"{name} still waits for an answer" for name in late]
        if not verdict.is_good:
            keep_evidence(stage)
        return harm.done, verdict, line
    except BaseException:
        keep_evidence(stage)
        raise
    finally:
        stage.close()


def _people(stage: Stage, seed: int) -> list[Person]:
    dice = random.Random(seed)

    def hired(kind: type[Person], name: str, home: str, pause_s: float) -> Person:
        return kind(name, stage.addresses[home], stage.passwords[name], dice.randrange(2**32), pause_s)

    recorders = [hired(Recorder, f"{code}.liaison", code, PAUSE_S) for code in stage.stations]
    return [*recorders, hired(Clerk, "clerk", HUB, 3 * PAUSE_S)]


def keep_evidence(stage: Stage) -> None:
    """The small disks vanish with this process; what explains a failure is copied first."""
    for pattern in ("*/*.log", "*/*/*.log", "*/data/station.sqlite3*"):
        for path in stage.folder.glob(pattern):
            kept = stage.folder / "evidence" / path.relative_to(stage.folder)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)


def _result(
    args: argparse.Namespace, done: Done, verdict: Verdict, line: dict[str, float], took_s: float
) -> dict[str, Any]:
    """Everything that is reported; each figure was counted."""
    return {
        "seed": args.seed, "took_s": round(took_s), "cores": len(os.sched_getaffinity(0)),
        "kills": done.kills.total(), "kills_by_victim": dict(sorted(done.kills.items())),
        "kills_during_start": done.during_start, "kills_together_with_the_next": done.at_once,
        "pauses": dict(done.pauses), "full_disks": dict(done.full_disks), "line_troubles": dict(done.line_troubles),
        "shaped_line": line, "evenings": done.evenings, "weekends": done.weekends,
        "ended_by_itself": dict(done.ended_by_itself), "restarted_as_the_page_says": done.restarted_as_the_page_says,
        **verdict.figures,
        "lost": len(verdict.lost), "duplicated": len(verdict.duplicated), "stuck": len(verdict.stuck),
        "wrong": len(verdict.wrong),
    }  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help=f"how many processes are killed (default {KILLS})")
    any_seed = random.SystemRandom().randrange(10**6)
    parser.add_argument("--seed", type=int, default=any_seed, help="what decides what is done to whom, and when")
    parser.add_argument("--record", action="store_true", help="write the result into docs/chaos.md")
    return parser.parse_args()


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
