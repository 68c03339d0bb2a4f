"""Colours, patterns and symbols of the coverage map, the same on the map and in its legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.documents import svg
from service.domain.coverage import StationState, VillageState


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours and pattern of a state: `ink` on `fill` keeps 3:1, and every ink differs in lightness from white."""

    fill: str
    ink: str
    pattern: str  # SVG path in a 12 x 12 tile; "" = plain


PAINTS: Mapping[VillageState, Paint] = {
    VillageState.SERVED: Paint("#cfe6f5", "#0b5c8a", ""),
    VillageState.IDLE: Paint("#fdf1c4", "#8a6400", "M-3 3L3-3M0 12L12 0M9 15L15 9"),
    VillageState.ROVING: Paint("#e8dcf3", "#6b3fa0", "M3 1.4a1.6 1.6 0 1 0 .01 0ZM9 7.4a1.6 1.6 0 1 0 .01 0Z"),
    VillageState.GAP: Paint("#fbd9ce", "#a8330f", "M0 0L12 12M0 12L12 0"),
    VillageState.UNKNOWN: Paint("#ececec", "#5f5f5f", "M0 3H12M0 9H12"),
}
FAINT, STATION_INK = "#4a4a4a", "#12355b"
_HOUSE = "M-9 9V-1L0-10L9-1V9Z"


def pattern(name: str, paint: Paint) -> str:
    marks = [svg.tag("rect", width=12, height=12, fill=paint.fill)]
    if paint.pattern:
        solid = paint.pattern.endswith("Z")
        fill, stroke = (paint.ink, None) if solid else ("none", paint.ink)
        marks.append(svg.tag("path", d=paint.pattern, fill=fill, stroke=stroke))
    return svg.tag("pattern", *marks, id=name, width=12, height=12, patternUnits="userSpaceOnUse")


def painted(state: VillageState, ids: str) -> dict[str, str]:
    return {"fill": f"url(#{ids}-{state.value})", "stroke": FAINT}


def circle(x: float, y: float, r: float, *, stroke_width: float) -> str:
    return svg.tag(
        "circle",
        cx=x,
        cy=y,
        r=r,
        fill="none",
        stroke=STATION_INK,
        stroke_width=stroke_width,
        stroke_dasharray="7 4",
        pointer_events="none",
    )


def house(x: float, y: float, state: StationState) -> str:
    outline = "#ffffff" if state is StationState.OPEN else STATION_INK
    inside = STATION_INK if state is StationState.OPEN else "#ffffff"
    dashes = "3 2" if state is StationState.PLANNED else None
    marks = [svg.tag("path", d=_HOUSE, fill=inside, stroke=outline, stroke_width=1.8, stroke_dasharray=dashes)]
    if state is StationState.PAUSED:
        marks.append(svg.tag("path", d="M-3 0V6M3 0V6", stroke=STATION_INK, stroke_width=2.5))
    return svg.tag("g", *marks, transform=svg.moved(x, y))
