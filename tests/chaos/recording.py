"""Writes what a run found into docs/chaos.md, between markers; what people wrote around them stays."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "chaos.md"
BEGIN, END = "<!-- written by python -m tests.chaos --record -->", "<!-- end of what python -m tests.chaos wrote -->"


def record(result: dict[str, Any], sentences: list[str]) -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    generated = "\n".join([BEGIN, "", *_lines(result, sentences), "", END])
    PAGE.write_text(before + generated + after.rstrip() + "\n", encoding="utf-8")


def _lines(result: dict[str, Any], sentences: list[str]) -> list[str]:
    outcome = f"**{result['lost']} lost, {result['duplicated']} duplicated, {result['stuck']} stuck**"
    head = [
        f"Recorded {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {result['kills']} kills, seed {result['seed']}, "
        f"{result['took_s'] // 60} min {result['took_s'] % 60} s on {result['cores']} cores. {outcome}.",
        "",
    ]
    return head + [f"- {key}: {_shown(value)}" for key, value in result.items()] + [f"- {one}" for one in sentences]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "none"
    return str(value)
