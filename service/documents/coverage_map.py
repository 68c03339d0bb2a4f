"""The coverage of a town as one SVG: drawn here, without tiles, scripts, styles or anything fetched.

State is shown three times over, by pattern, word and colour, so that a grey print and a colour-blind reader lose
nothing. A cell means "nearest village point" and nothing more; it is no boundary, and the title says so. What hangs in
public is drawn with `boundaries=False`: points only, because a drawn boundary would need an official review.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.documents import svg
from service.documents.map_chart import Chart
from service.documents.map_labels import LINE, PAD, Box, Label, around
from service.documents.map_panel import set_header, set_panel, set_strip
from service.documents.map_places import Place
from service.documents.map_symbols import FAINT, PAINTS, STATION_INK, circle, house, painted, pattern
from service.documents.map_words import N_, STATION_WORDS, Labels, Words
from service.documents.svg import INK
from service.documents.typesetting import NAME, SMALL, Column
from service.domain.coverage import Coverage, StationState
from service.domain.geometry import Spot

_FONT = "'Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei','PingFang SC',sans-serif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Natural size in CSS pixels. With `panel` the legend stands to the right of the map, else below it."""

    name: str
    width: int
    height: int
    margin: int
    panel: int
    map_height_min: int
    spot: int  # radius of a village where no cell is drawn: its pattern must be seen around a station's house


LANDSCAPE = Sheet(name="landscape", width=1123, height=794, margin=24, panel=286, map_height_min=420, spot=16)  # A4
NARROW = Sheet(name="narrow", width=360, height=0, margin=8, panel=0, map_height_min=400, spot=13)  # a phone


def draw(
    coverage: Coverage,
    *,
    labels: Labels | None = None,
    link: Callable[[str], str] | None = None,
    boundaries: bool = True,
    sheet: Sheet = LANDSCAPE,
    place: str = "",
    id_prefix: str = "coverage",
) -> str:
    """The map as one SVG element; the same input gives the same bytes.

    `labels` translates the Chinese source texts, `link` turns a village code into an address (without it the map is
    one image to a screen reader), `place` names the town. Two maps on one page need two values of `id_prefix`.
    """
    words = Words.of(labels, coverage)
    ids = f"{id_prefix}-{sheet.name}"
    inner = sheet.width - 2 * sheet.margin
    head = set_header(Column(x=sheet.margin, y=sheet.margin, width=inner), words, place)
    strip_height = set_strip(Column(x=0, y=0, width=inner), words).y
    map_width = inner - (sheet.panel + 16 if sheet.panel else 0)
    map_height = max(sheet.map_height_min, sheet.height - head.y - strip_height - sheet.margin - 16)
    spot = None if boundaries else sheet.spot
    chart = Chart.of(coverage, words, width=map_width, height=map_height, spot=spot)
    strip = set_strip(Column(x=sheet.margin, y=head.y + 8 + map_height + 8, width=inner), words)
    beside = Column(x=sheet.margin + map_width + 16, y=head.y + 4, width=sheet.panel)
    below = Column(x=sheet.margin, y=strip.y + 8, width=inner)
    panel = set_panel(beside if sheet.panel else below, words, chart, ids)
    height = round(max(strip.y, panel.y, sheet.height - sheet.margin) + sheet.margin)
    return _document(
        words,
        _defs(ids, chart),
        svg.tag("rect", width=sheet.width, height=height, fill="#ffffff"),
        *head.marks,
        svg.tag("g", *_map(chart, words, ids, link), transform=svg.moved(sheet.margin, head.y + 8)),
        *strip.marks,
        *panel.marks,
        ids=ids,
        size=(sheet.width, height),
        interactive=link is not None,
        place=place,
    )


def _map(chart: Chart, words: Words, ids: str, link: Callable[[str], str] | None) -> list[str]:
    """Areas first, names last: a later area painted over an earlier name in the first attempt."""
    clipped = [*_areas(chart, ids, link), *_circles(chart)]
    order = range(len(chart.places))
    villages = [_village(n, chart, words, ids, link) for n in order]
    return [
        svg.tag("g", *clipped, clip_path=f"url(#{ids}-clip)"),
        *(_leader(label) for label in chart.labels.values()),
        svg.tag("g", *villages, role="list" if link else None),
        *(_station(n, chart, words) for n in range(len(chart.sites))),
        *([] if chart.places else [_nothing(chart, words)]),
        svg.tag("rect", width=chart.width, height=chart.height, fill="none", stroke=FAINT),
    ]


def _nothing(chart: Chart, words: Words) -> str:
    text = words.say(N_("没有可用的坐标"))
    return svg.text(chart.width / 2, chart.height / 2, text, size=16, anchor="middle")


def _areas(chart: Chart, ids: str, link: Callable[[str], str] | None) -> list[str]:
    """The cells. With links they enlarge the target for a mouse; the keyboard finds the link once, at the name."""
    areas = []
    for place, cell in zip(chart.places, chart.cells, strict=False):
        shape = svg.tag("path", d=_outline(cell), **painted(place.state, ids))
        if link and len(place.rows) == 1:
            shape = svg.tag("a", shape, href=link(place.rows[0].code), tabindex="-1", aria_hidden="true")
        areas.append(shape)
    return areas


def _outline(cell: Sequence[Spot]) -> str:
    return "M" + "L".join(f"{svg.number(x)} {svg.number(y)}" for x, y in cell) + "Z"


def _circles(chart: Chart) -> list[str]:
    opened = [site for site in chart.sites if site.row.state is StationState.OPEN]
    return [circle(site.x, site.y, chart.radius_px, stroke_width=1.5) for site in opened]


def _leader(label: Label) -> str:
    if label.leader is None:
        return ""
    return svg.tag("path", d=_outline(label.leader).removesuffix("Z"), stroke=INK, fill="none")


def _village(n: int, chart: Chart, words: Words, ids: str, link: Callable[[str], str] | None) -> str:
    """Mark and name. Villages on one spot get a link each, stacked line by line under one mark."""
    place, label = chart.places[n], chart.labels.get(n)
    described = [words.describe(row) for row in place.rows]
    dot = _dot(place, chart, ids)
    if link is None or len(place.rows) == 1:
        body = [svg.tag("title", svg.escaped(" / ".join(described))), dot, *_label(label)]
        if link is None:
            return svg.tag("g", *body)
        anchor = svg.tag("a", *body, href=link(place.rows[0].code), aria_label=described[0])
        return svg.tag("g", anchor, role="listitem")
    return dot + "".join(
        svg.tag("g", svg.tag("a", *_label(part), href=link(row.code), aria_label=text), role="listitem")
        for row, text, part in zip(place.rows, described, _split(label, place), strict=True)
    )


def _split(label: Label | None, place: Place) -> list[Label]:
    """One label per village of a shared spot; a small box at the mark where the names did not fit."""
    if label is None or len(label.lines) != len(place.rows):
        return [Label(around(place.x, place.y, 6), (), "middle") for _ in place.rows]
    box = label.box
    tops = [box.top + n * (box.bottom - box.top) / len(place.rows) for n in range(len(place.rows) + 1)]
    return [
        Label(Box(box.left, top, box.right, bottom), (line,), label.anchor)
        for line, top, bottom in zip(label.lines, tops, tops[1:], strict=False)
    ]


def _dot(place: Place, chart: Chart, ids: str) -> str:
    paint = PAINTS[place.state]
    if chart.cells:
        fill, stroke = paint.ink, "#ffffff"
    else:
        fill, stroke = f"url(#{ids}-{place.state.value})", paint.ink
    return svg.tag("circle", cx=place.x, cy=place.y, r=chart.marker, fill=fill, stroke=stroke, stroke_width=2)


def _label(label: Label | None) -> list[str]:
    if label is None:
        return []
    box = label.box
    x = {"start": box.left + PAD, "end": box.right - PAD, "middle": (box.left + box.right) / 2}[label.anchor]
    marks = [
        svg.tag(
            "rect",
            x=box.left,
            y=box.top,
            width=box.right - box.left,
            height=box.bottom - box.top,
            rx=3,
            fill="#ffffff",
            fill_opacity=0.9,
        )
    ]
    for n, line in enumerate(label.lines):
        y = box.top + 14.5 + n * LINE
        marks.append(svg.text(x, y, line, size=NAME if n == 0 else SMALL, bold=n == 0, anchor=label.anchor))
    return marks


def _station(n: int, chart: Chart, words: Words) -> str:
    site, label = chart.sites[n], chart.site_labels.get(n)
    title = svg.tag("title", svg.escaped(f"{site.row.name}: {words.say(STATION_WORDS[site.row.state])}"))
    name = [mark.replace(INK, STATION_INK) for mark in _label(label)]
    return svg.tag("g", title, house(site.x, site.y, site.row.state), *name, pointer_events="none")


def _document(words: Words, *marks: str, ids: str, size: tuple[int, int], interactive: bool, place: str) -> str:
    title = f"{words.heading(place)} · {words.disclaimer()}"
    width, height = size
    return svg.tag(
        "svg",
        svg.tag("title", svg.escaped(title), id=f"{ids}-title"),
        svg.tag("desc", svg.escaped(words.summary()), id=f"{ids}-desc"),
        *marks,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="group" if interactive else "img",
        aria_labelledby=f"{ids}-title",
        aria_describedby=f"{ids}-desc",
        font_family=_FONT,
    )


def _defs(ids: str, chart: Chart) -> str:
    clip = svg.tag("clipPath", svg.tag("rect", width=chart.width, height=chart.height), id=f"{ids}-clip")
    return svg.tag("defs", clip, *(pattern(f"{ids}-{state.value}", paint) for state, paint in PAINTS.items()))
