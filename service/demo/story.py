"""`make demo SCRIPTED=1`: the story of docs/architecture.md, played without hands on real processes over real HTTP.

Every step does what a person would do in a browser, then looks at the databases whether it is so. What the last line
counts was counted, not typed. The first step that fails ends the story with its name.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from service.demo import story_casework, story_checks, story_station, town
from service.demo.browser import NotOffered
from service.demo.playing import Say, Story, StoryFailed
from service.demo.private_server import free_port
from service.demo.township import Township

MONDAY_MORNING = datetime(2026, 11, 23, 1, 5, tzinfo=UTC)  # 09:05 in the town, a reception day


def play(say: Say) -> int:
    """Play to the end; gives the exit code. Everything is stopped and removed at the end, whatever happens."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lianxin-story-") as folder:
        ports = [free_port() for _ in range(1 + len(town.stations()))]
        story = Story(township=Township(Path(folder), ports, say), say=say)
        try:
            failed = _play_chapters(story)
        finally:
            story.township.stop()
        story.counted["seconds"] = round(time.monotonic() - began, 1)
    result = {"story": "failed" if failed else "played", **failed, **story.counted}
    print(json.dumps(result, ensure_ascii=False), flush=True)
    return 1 if failed else 0


def _play_chapters(story: Story) -> dict[str, str]:
    """Empty when every step came out; else the first that did not, and why."""
    for number, (name, chapter) in enumerate(CHAPTERS, start=1):
        story.say(f"[{number}/{len(CHAPTERS)}] {name}")
        try:
            chapter(story)
        except (StoryFailed, NotOffered) as failure:
            return _failure(story, name, str(failure))
        except Exception as error:  # noqa: BLE001  the edge of the story: whatever broke, the step is named
            return _failure(story, name, f"{type(error).__name__}: {error}")
    story.counted["pages_opened"] = sum(browser.opened for browser in story.browsers)
    return {}


def _failure(story: Story, step: str, reason: str) -> dict[str, str]:
    """Say it, with the last words of every process, before their logs are removed."""
    print(f"demo: step failed: {step}\n  {reason}", file=sys.stderr)
    for process in story.township.processes.values():
        print(f"  {process.name}{'' if process.pid else ' (not running)'}:\n{process.last_words()}", file=sys.stderr)
    return {"failed_step": step, "reason": reason[:500]}


def _start(story: Story) -> None:
    story.township.folder.mkdir(parents=True, exist_ok=True)
    story.township.clock.set_to(MONDAY_MORNING)
    story.township.start()


CHAPTERS: tuple[tuple[str, Callable[[Story], None]], ...] = (
    ("start the township", _start),
    ("unplug the hub", lambda story: story.township.stop_hub()),
    ("record at 钱东村 while the hub is down", story_station.record_offline),
    ("kill -9 the station while forms are posted", story_station.kill_while_posting),
    ("plug the hub in again, exchange", story_station.reconnect),
    ("both ends verified equal", story_checks.compare_ends),
    ("screening and dispatch to the water office", story_casework.dispatch),
    ("nobody signs: reminder, urging, yellow card as the clock moves on", story_casework.escalate),
    ("the station sees every step", story_casework.seen_at_station),
    ("reply, review, delivery", story_casework.reply),
    ("follow-up, rating, closing at the station", story_casework.close),
    ("the citizen asks by code", story_casework.ask_by_code),
    ("coverage compiled and at every station", story_checks.coverage),
    ("every node: chains verify, rebuilt read tables equal the live ones", story_checks.check_nodes),
)
