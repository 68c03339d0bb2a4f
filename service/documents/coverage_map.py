"""The coverage of a town as one SVG: drawn here, without tiles, scripts, styles or anything fetched.

State is shown three times over, by pattern, word and colour, so that a grey print and a colour-blind reader lose
nothing. A cell means "nearest village point" and nothing more; it is no boundary, and the title says so. What hangs in
public is drawn with `boundaries=False`: points only, because a drawn boundary would need an official review.

The drawing stands on presentation attributes alone: a strict content policy would drop inline styles. Every text
passes through `labels`; its source is Chinese, so without a translation the map is simply Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import cos, hypot, radians
from unicodedata import east_asian_width

from service.domain.coverage import (
    Coverage,
    Mark,
    MarkKind,
    Measure,
    Point,
    Share,
    StationRow,
    StationState,
    VillageRow,
    VillageState,
)
from service.domain.geometry import EARTH_RADIUS_M, Spot, nearest_cells

Labels = Callable[[str], str] | Mapping[str, str]


def N_(text: str) -> str:
    """Marks a text for the translators' tools; it is translated when drawn."""
    return text


STATE_WORDS: Mapping[VillageState, str] = {
    VillageState.SERVED: N_("站活"),
    VillageState.IDLE: N_("有站不活"),
    VillageState.ROVING: N_("无站有人"),
    VillageState.GAP: N_("未覆盖"),
    VillageState.UNKNOWN: N_("未知"),
}
STATE_MEANINGS: Mapping[VillageState, str] = {
    VillageState.SERVED: N_("范围内有站,近期有接待"),
    VillageState.IDLE: N_("范围内有站,近期无接待"),
    VillageState.ROVING: N_("范围内无站,近期有接待"),
    VillageState.GAP: N_("范围内无站,近期无接待"),
    VillageState.UNKNOWN: N_("无可用坐标,近期无接待"),
}
STATION_WORDS: Mapping[StationState, str] = {
    StationState.OPEN: N_("开放的联络站"),
    StationState.PAUSED: N_("暂停的联络站"),
    StationState.PLANNED: N_("拟建的联络站"),
}
MARK_WORDS: Mapping[MarkKind, str] = {
    MarkKind.REACH_UNKNOWN: N_("到站未知"),
    MarkKind.POPULATION_UNKNOWN: N_("人口未知"),
    MarkKind.STATION_PAUSED: N_("站点暂停"),
    MarkKind.STATION_PLANNED: N_("拟建站"),
}


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
# On one spot the state that needs somebody is shown.
_WORST_FIRST = (
    VillageState.GAP,
    VillageState.ROVING,
    VillageState.IDLE,
    VillageState.SERVED,
    VillageState.UNKNOWN,
)
INK, FAINT, STATION_INK = "#1b1b1b", "#4a4a4a", "#12355b"
_FONT = "'Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei','PingFang SC',sans-serif"
_HOUSE = "M-9 9V-1L0-10L9-1V9Z"
_SMALL, _NAME, _HEADING = 14, 15, 20  # natural sizes; nothing on the sheet is smaller
_NAME_MAX = 12  # longer names are cut on the map, and whole in the tooltip and in the table


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
    words = _Words.of(labels, coverage)
    ids = f"{id_prefix}-{sheet.name}"
    inner = sheet.width - 2 * sheet.margin
    head = _header(_Column(x=sheet.margin, y=sheet.margin, width=inner), words, place)
    strip_height = _strip(_Column(x=0, y=0, width=inner), words).y
    map_width = inner - (sheet.panel + 16 if sheet.panel else 0)
    map_height = max(sheet.map_height_min, sheet.height - head.y - strip_height - sheet.margin - 16)
    spot = None if boundaries else sheet.spot
    chart = _Chart.of(coverage, words, width=map_width, height=map_height, spot=spot)
    below = head.y + 8 + map_height + 8
    strip = _strip(_Column(x=sheet.margin, y=below, width=inner), words)
    side = (
        _Column(x=sheet.margin + map_width + 16, y=head.y + 4, width=sheet.panel)
        if sheet.panel
        else _Column(x=sheet.margin, y=strip.y + 8, width=inner)
    )
    panel = _panel(side, words, chart, ids)
    height = round(max(strip.y, panel.y, sheet.height - sheet.margin) + sheet.margin)
    return _document(
        words,
        _defs(ids, chart),
        _tag("rect", width=sheet.width, height=height, fill="#ffffff"),
        *head.marks,
        _tag("g", *_map(chart, words, ids, link), transform=f"translate({_n(sheet.margin)} {_n(head.y + 8)})"),
        *strip.marks,
        *panel.marks,
        ids=ids,
        size=(sheet.width, height),
        interactive=link is not None,
        place=place,
    )


# --- words -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Words:
    """The coverage in the reader's language."""

    translate: Callable[[str], str]
    coverage: Coverage
    station_names: Mapping[str, str]

    @classmethod
    def of(cls, labels: Labels | None, coverage: Coverage) -> _Words:
        names = {station.code: station.name for station in coverage.stations}
        if labels is None:
            return cls(str, coverage, names)
        if isinstance(labels, Mapping):
            table = labels
            return cls(lambda text: table.get(text, text), coverage, names)
        return cls(labels, coverage, names)

    def say(self, source: str, **values: object) -> str:
        """The translated text with its %(name)s places filled."""
        text = self.translate(source)
        return text % values if values else text

    def listed(self, items: Iterable[str]) -> str:
        return self.translate(N_("、")).join(items)

    def heading(self, place: str) -> str:
        return self.say(N_("%(place)s联络站覆盖图"), place=place).strip()

    def disclaimer(self) -> str:
        return self.say(N_("示意图,非行政区域界线"))

    def metres(self, metres: int) -> str:
        """Whole metres: a rounded kilometre would hide on which side of R a village lies."""
        return self.say(N_("%(metres)s米"), metres=f"{metres:,}")

    def villages(self, count: int | str) -> str:
        return self.say(N_("%(count)s个村居"), count=count)

    def conditions(self) -> list[str]:
        """What every figure on the sheet rests on."""
        coverage, settings = self.coverage, self.coverage.settings
        unknown = coverage.states[VillageState.UNKNOWN]
        left_out = len(coverage.completeness.missing)
        return [
            self.say(N_("截至%(date)s"), date=coverage.as_of.isoformat()),
            self.say(N_("范围R = %(radius)s(直线)"), radius=self.metres(settings.radius_m)),
            self.say(N_("权重:居民人数")),
            self.say(N_("状态未知%(villages)s"), villages=self.villages(unknown)),
            self.say(N_("未计入到站率%(villages)s"), villages=self.villages(f"{left_out}/{len(coverage.villages)}")),
        ]

    def mark(self, mark: Mark) -> str:
        word = self.say(MARK_WORDS[mark.kind])
        if mark.quarter is None:
            return word
        year, quarter = mark.quarter
        return word + self.say(N_(" %(year)s年第%(quarter)s季度"), year=year, quarter=quarter)

    def describe(self, row: VillageRow) -> str:
        """A village in one sentence, for tooltips and screen readers."""
        parts = [self.say(STATE_WORDS[row.state])]
        if row.nearest is not None and row.distance_m is not None:
            name = self.station_names.get(row.nearest, row.nearest)
            distance = self.metres(row.distance_m)
            parts.append(self.say(N_("最近的开放站:%(name)s,%(distance)s"), name=name, distance=distance))
        if row.last_on is not None:
            parts.append(self.say(N_("最近接待:%(date)s"), date=row.last_on.isoformat()))
        parts += [self.mark(mark) for mark in row.marks]
        return f"{row.name}: " + "; ".join(parts)

    def summary(self) -> str:
        counts = [
            f"{self.say(word)} {self.villages(self.coverage.states[state])}" for state, word in STATE_WORDS.items()
        ]
        return "; ".join([*self.conditions(), *counts])


def _percent(share: Share) -> str:
    return "-" if share.percent is None else f"{share.percent}%"


def _fraction(share: Share) -> str:
    return f"{share.part:,}/{share.whole:,}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 1] + "…"


# --- text above, beside and below the map ----------------------------------------------------------------------


@dataclass(slots=True)
class _Column:
    """Text set from the top down in a given width; `y` is the lower edge of what has been set."""

    x: float
    y: float
    width: float
    marks: list[str] = field(default_factory=list)

    def write(self, text: str, *, size: int = _SMALL, bold: bool = False, indent: float = 0, fill: str = INK) -> None:
        self._set(_wrapped(_tokens(text), self.width - indent, size), size=size, bold=bold, indent=indent, fill=fill)

    def write_pieces(self, pieces: Sequence[str], *, fill: str = INK) -> None:
        """Pieces that are broken only between each other, unless one is wider than the column."""
        tokens = [f"{piece} · " for piece in pieces[:-1]] + [*pieces[-1:]]
        whole = all(_width(token, _SMALL) <= self.width for token in tokens)
        lines = _wrapped(tokens if whole else _tokens("".join(tokens)), self.width, _SMALL)
        self._set([line.removesuffix(" ·") for line in lines], size=_SMALL, bold=False, indent=0, fill=fill)

    def _set(self, lines: Iterable[str], *, size: int, bold: bool, indent: float, fill: str) -> None:
        for line in lines:
            self.y += round(size * 1.4)
            self.marks.append(_text(self.x + indent, self.y - size * 0.35, line, size=size, bold=bold, fill=fill))

    def skip(self, pixels: float) -> None:
        self.y += pixels


def _header(column: _Column, words: _Words, place: str) -> _Column:
    heading, disclaimer = words.heading(place), words.disclaimer()
    top = column.y
    column.write(heading, size=_HEADING, bold=True)
    if _width(heading, _HEADING) + _width(disclaimer, 16) + 24 <= column.width:
        right = column.x + column.width
        column.marks.append(_text(right, top + _HEADING * 1.05, disclaimer, size=16, bold=True, anchor="end"))
    else:
        column.write(disclaimer, size=16, bold=True)
    column.write_pieces(words.conditions(), fill=FAINT)
    return column


def _strip(column: _Column, words: _Words) -> _Column:
    """Villages that the map cannot show, or that the shares could not count; nothing when there are none."""
    rows = words.coverage.villages
    lost = [row for row in rows if row.point is None]
    if lost:
        named = [f"{row.name}({words.say(STATE_WORDS[row.state])})" for row in lost]
        column.write(words.say(N_("无可用坐标,未画出:%(villages)s"), villages=words.listed(named)))
    uncounted = [row.name for row in rows if row.population is None]
    if uncounted:
        column.write(words.say(N_("人口未知,不计入各率:%(villages)s"), villages=words.listed(uncounted)))
    return column


def _panel(column: _Column, words: _Words, chart: _Chart, ids: str) -> _Column:
    _state_legend(column, words, ids)
    _symbol_legend(column, words, chart)
    _figures(column, words)
    return column


def _state_legend(column: _Column, words: _Words, ids: str) -> None:
    for state, word in STATE_WORDS.items():
        top = column.y + 5
        count = words.villages(words.coverage.states[state])
        column.write(f"{words.say(word)}  {count}", size=_NAME, bold=True, indent=44)
        column.write(words.say(STATE_MEANINGS[state]), indent=44, fill=FAINT)
        column.marks.append(
            _tag("rect", x=column.x, y=top, width=34, height=30, rx=3, **_painted(state, ids), stroke_width=1.5)
        )
        column.skip(3)
    column.skip(5)


def _symbol_legend(column: _Column, words: _Words, chart: _Chart) -> None:
    for state in sorted({site.row.state for site in chart.sites}, key=list(STATION_WORDS).index):
        column.write(words.say(STATION_WORDS[state]), indent=44)
        column.marks.append(_house(column.x + 17, column.y - 9, state))
        column.skip(2)
    if any(site.row.approximate for site in chart.sites):
        column.write(words.say(N_("无自有坐标的站,画在村点上")), indent=44, fill=FAINT)
    if any(site.row.state is StationState.OPEN for site in chart.sites):
        column.write(words.say(N_("距开放站不超过R")), indent=44)
        column.marks.append(_circle(column.x + 17, column.y - 9, 9, stroke_width=1.5))
    if chart.px_per_m:
        metres = _round_length(90 / chart.px_per_m)
        length = metres * chart.px_per_m
        column.skip(4)
        column.write(words.metres(metres), indent=length + 10)
        y = column.y - 8
        bar = f"M{_n(column.x)} {_n(y - 4)}V{_n(y)}H{_n(column.x + length)}V{_n(y - 4)}"
        column.marks.append(_tag("path", d=bar, fill="none", stroke=INK, stroke_width=1.5))
    if chart.cells:
        column.write(words.say(N_("每格表示离该村点最近的地方")), fill=FAINT)
    if chart.unnamed:
        column.write(words.say(N_("%(villages)s的名称未能标出,见列表"), villages=words.villages(chart.unnamed)))
    column.skip(8)


def _figures(column: _Column, words: _Words) -> None:
    coverage, settings = words.coverage, words.coverage.settings
    _figure(column, words, words.say(N_("到站覆盖率")), coverage.reach)
    others = [
        f"{words.metres(radius)} {_percent(measure.residents)}"
        for radius, measure in (
            (settings.near_radius_m, coverage.reach_near),
            (settings.far_radius_m, coverage.reach_far),
        )
    ]
    column.write(words.say(N_("若R取:%(values)s"), values=words.listed(others)), fill=FAINT)
    column.skip(4)
    recency = words.say(N_("近期接待覆盖率(%(days)s天)"), days=settings.window_days)
    _figure(column, words, recency, coverage.recency)
    strict = _percent(coverage.recency_strict.residents)
    column.write(words.say(N_("%(days)s天内:%(share)s"), days=settings.strict_window_days, share=strict), fill=FAINT)
    column.skip(4)
    counted = coverage.completeness
    column.write(words.say(N_("数据完整度")), bold=True)
    column.write(_both(words, Measure(residents=counted.residents, villages=counted.villages)), fill=FAINT)


def _figure(column: _Column, words: _Words, name: str, measure: Measure) -> None:
    column.write(f"{name} {_percent(measure.residents)}", size=_NAME, bold=True)
    column.write(_both(words, measure), fill=FAINT)


def _both(words: _Words, measure: Measure) -> str:
    residents = words.say(N_("%(count)s人"), count=_fraction(measure.residents))
    return f"{residents} · {words.villages(_fraction(measure.villages))}"


def _round_length(metres: float) -> int:
    """The largest of 1, 2, 5, 10, 20 … metres that is not longer."""
    length = 1
    while length * 10 <= metres:
        length *= 10
    return next(length * step for step in (5, 2, 1) if length * step <= metres or step == 1)


# --- where things stand on the map -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A spot on the map with the villages on it, mostly one; it shows the state that needs somebody most."""

    x: float
    y: float
    rows: tuple[VillageRow, ...]
    state: VillageState


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """A station on the map."""

    x: float
    y: float
    row: StationRow


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle that text or a mark takes up."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, width: float, height: float) -> bool:
        return self.left >= 2 and self.top >= 2 and self.right <= width - 2 and self.bottom <= height - 2


@dataclass(frozen=True, slots=True)
class _Label:
    """Lines in a box, the first one bold. `leader`: the line from mark to box, if they are apart."""

    box: _Box
    lines: tuple[str, ...]
    anchor: str
    leader: tuple[Spot, Spot] | None = None

    @property
    def boxes(self) -> list[_Box]:
        """The ground it takes up; a leader line as a row of dots, so that no name is laid over it."""
        if self.leader is None:
            return [self.box]
        (x, y), (end_x, end_y) = self.leader
        dots = max(1, int(hypot(end_x - x, end_y - y) // 4))
        steps = [n / dots for n in range(dots)]
        return [self.box, *(_around(x + (end_x - x) * t, y + (end_y - y) * t, 2) for t in steps)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    """Everything with its place, before anything is drawn. `cells` is empty where no boundary may be drawn."""

    width: float
    height: float
    px_per_m: float  # 0 when nothing has a point
    radius_px: float
    places: tuple[_Place, ...]
    sites: tuple[_Site, ...]
    cells: tuple[tuple[Spot, ...], ...]
    labels: Mapping[int, _Label]  # by index of the place
    site_labels: Mapping[int, _Label]
    marker: float  # radius of a village's mark

    @property
    def unnamed(self) -> int:
        return sum(len(place.rows) for n, place in enumerate(self.places) if n not in self.labels)

    @classmethod
    def of(cls, coverage: Coverage, words: _Words, *, width: float, height: float, spot: float | None) -> _Chart:
        """`spot`: the radius of a village's mark where no cell may be drawn; None draws cells and small marks."""
        stations = [s for s in coverage.stations if s.point is not None and s.state in STATION_WORDS]
        points = [row.point for row in coverage.villages if row.point is not None]
        points += [row.point for row in stations if row.point is not None]
        project, scale = _projection(points, coverage.settings.radius_m, width, height)
        places = _places(coverage.villages, project)
        sites = tuple(_site(station, station.point, project) for station in stations if station.point is not None)
        marker = spot or 6.0
        labels, site_labels = _labelled(places, sites, words, width=width, height=height, marker=marker)
        spots = [(place.x, place.y) for place in places]
        return cls(
            width=width,
            height=height,
            px_per_m=scale,
            radius_px=coverage.settings.radius_m * scale,
            places=places,
            sites=sites,
            cells=tuple(tuple(cell) for cell in nearest_cells(spots, width, height)) if spot is None else (),
            labels=labels,
            site_labels=site_labels,
            marker=marker,
        )


_Project = Callable[[Point], Spot]


def _projection(points: Sequence[Point], radius_m: int, width: float, height: float) -> tuple[_Project, float]:
    """Degrees to pixels, north up, and pixels per metre (0 without points). A plane is 13 m off over 20 km."""
    if not points:
        return (lambda point: (0.0, 0.0)), 0.0
    south, north = min(p.lat for p in points), max(p.lat for p in points)
    west, east = min(p.lng for p in points), max(p.lng for p in points)
    degree_m = EARTH_RADIUS_M * radians(1)
    shrink = cos(radians((south + north) / 2))
    # Room for names at the edge; and a town of one village still shows the circle around its station.
    wide = max((east - west) * degree_m * shrink, 1.7 * radius_m) + 0.5 * radius_m
    high = max((north - south) * degree_m, 1.7 * radius_m) + 0.5 * radius_m
    scale = min(width / wide, height / high)

    def project(point: Point) -> Spot:
        right = (point.lng - (west + east) / 2) * degree_m * shrink
        up = (point.lat - (south + north) / 2) * degree_m
        return round(width / 2 + right * scale, 1), round(height / 2 - up * scale, 1)

    return project, scale


def _places(rows: Iterable[VillageRow], project: _Project) -> tuple[_Place, ...]:
    spots: dict[Spot, list[VillageRow]] = {}
    for row in rows:
        if row.point is not None:
            spots.setdefault(project(row.point), []).append(row)
    return tuple(
        _Place(x=x, y=y, rows=tuple(here), state=min((row.state for row in here), key=_WORST_FIRST.index))
        for (x, y), here in spots.items()
    )


def _site(station: StationRow, point: Point, project: _Project) -> _Site:
    x, y = project(point)
    return _Site(x=x, y=y, row=station)


# --- names on the map ------------------------------------------------------------------------------------------

_LINE, _PAD = 18, 4
# Right first, as one reads; then around the mark, then farther out on a leader line.
_DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
_DISTANCES = (0, 14, 30, 46)
# The fullest text of _village_texts that is tried, attempt by attempt; with bare names several orders are worth a try.
_LEVELS = (0, 1, 2, 3, 3, 3, 3, 3, 3)


def _labelled(
    places: Sequence[_Place],
    sites: Sequence[_Site],
    words: _Words,
    *,
    width: float,
    height: float,
    marker: float,
) -> tuple[dict[int, _Label], dict[int, _Label]]:
    """Names where they hide no mark and no other name: villages first, the most crowded before the others, then
    stations where there is room.

    All villages are tried with the fullest text, then with less, until every one has its name. One that fits nowhere
    even so is left out; the chart counts it, and the table beside the map has it.
    """
    free = _Free(places, width=width, height=height)
    free.taken += [_around(place.x, place.y, marker) for place in places]
    free.taken += [_around(site.x, site.y, 10) for site in sites]
    reaches = [max([marker] + [11 for s in sites if hypot(s.x - p.x, s.y - p.y) < 12]) for p in places]
    texts = [_village_texts(place, words) for place in places]
    labels: dict[int, _Label] = {}
    order = sorted(range(len(places)), key=lambda n: (_room(places[n], places), n))
    for level in _LEVELS:
        shorter = [each[min(level, len(each) - 1) :] for each in texts]
        attempt = _named(places, reaches, shorter, order, free.copy())
        if len(attempt) > len(labels):
            labels = attempt
        if len(labels) == len(places):
            break
        order.sort(key=attempt.__contains__)  # who found no room goes first next time
    free.taken += [box for label in labels.values() for box in label.boxes]
    _enrich(labels, places, reaches, texts, free)
    return labels, _station_names(sites, free)


_Texts = Sequence[tuple[str, ...]]  # what could stand beside one mark, the fullest first


def _named(
    places: Sequence[_Place], reaches: Sequence[float], texts: Sequence[_Texts], order: Iterable[int], free: _Free
) -> dict[int, _Label]:
    """Labels by index of the place, set in `order`; only the texts given are tried."""
    labels: dict[int, _Label] = {}
    for n in order:
        label = free.fit(places[n].x, places[n].y, reaches[n], texts[n])
        if label:
            labels[n] = label
            free.taken += label.boxes
    return labels


def _enrich(
    labels: dict[int, _Label],
    places: Sequence[_Place],
    reaches: Sequence[float],
    texts: Sequence[_Texts],
    free: _Free,
) -> None:
    """Gives back to single labels what the least of them had to go without, where there is room close by."""
    for n, label in labels.items():
        fuller = [lines for lines in texts[n] if len(lines) > len(label.lines)]
        free.taken = [box for box in free.taken if box not in label.boxes]
        better = free.fit(places[n].x, places[n].y, reaches[n], fuller, distances=(0,)) if fuller else None
        labels[n] = better or label
        free.taken += labels[n].boxes


def _station_names(sites: Sequence[_Site], free: _Free) -> dict[int, _Label]:
    labels: dict[int, _Label] = {}
    for n, site in enumerate(sites):
        label = free.fit(site.x, site.y, 11, [(_short(site.row.name),)])
        if label and label.leader is None:
            labels[n] = label
            free.taken += label.boxes
    return labels


def _around(x: float, y: float, reach: float) -> _Box:
    return _Box(x - reach, y - reach, x + reach, y + reach)


def _room(place: _Place, places: Sequence[_Place]) -> float:
    return min((hypot(place.x - o.x, place.y - o.y) for o in places if o is not place), default=0.0)


def _village_texts(place: _Place, words: _Words) -> _Texts:
    """What to write beside a village, the fullest first."""
    if len(place.rows) > 1:  # one spot, several villages: a fault that must be seen
        both = tuple(f"{_short(row.name)} {words.say(STATE_WORDS[row.state])}" for row in place.rows)
        return [both, (_short(words.listed(row.name for row in place.rows)),)]
    row = place.rows[0]
    name, word = _short(row.name), words.say(STATE_WORDS[row.state])
    marks = tuple(words.mark(mark) for mark in row.marks)
    distance = "" if row.distance_m is None else f" {words.metres(row.distance_m)}"
    return [(name, word + distance, *marks), (name, word, *marks), (name, word), (name,)]


@dataclass(slots=True)
class _Free:
    """The room left on the map."""

    places: Sequence[_Place]
    width: float
    height: float
    taken: list[_Box] = field(default_factory=list)

    def copy(self) -> _Free:
        return _Free(self.places, self.width, self.height, [*self.taken])

    def fit(
        self, x: float, y: float, reach: float, texts: _Texts, distances: Sequence[int] = _DISTANCES
    ) -> _Label | None:
        """A free label for the mark at (x, y): close by rather than full, but with more than a bare name rather than
        close by; and over the mark's own ground rather than over a neighbour's."""
        for lines, away in [(t, a) for a in distances for t in texts[:-1]] + [(texts[-1], a) for a in distances]:
            tries = [_beside(x, y, reach + 3, away, d, lines, self.width) for d in _DIRECTIONS]
            open_tries = [label for label in tries if self._is_free(label)]
            if open_tries:
                return min(open_tries, key=lambda label: not self._is_own(label.box, x, y))
        return None

    def _is_free(self, label: _Label) -> bool:
        if not label.box.inside(self.width, self.height):
            return False
        return not any(box.meets(other) for box in label.boxes for other in self.taken)

    def _is_own(self, box: _Box, x: float, y: float) -> bool:
        corners = [(cx, cy) for cx in (box.left, box.right) for cy in (box.top, box.bottom)]
        return all(
            hypot(cx - x, cy - y) <= min((hypot(cx - o.x, cy - o.y) for o in self.places), default=0) + 1
            for cx, cy in corners
        )


def _beside(
    x: float,
    y: float,
    reach: float,
    away: float,
    direction: tuple[int, int],
    lines: tuple[str, ...],
    map_width: float,
) -> _Label:
    """The label on one side of a mark of radius `reach`, `away` pixels off and then on a leader line. Above or below
    a mark near the edge it is shifted into the map."""
    right, down = direction
    wide = max(_width(line, _NAME) for line in lines) + 2 * _PAD
    high = len(lines) * _LINE + 2
    slant = 0.7 if right and down else 1.0
    gap = (reach + away) * slant
    centred = min(max(x - wide / 2, 2), map_width - wide - 2)
    left = x + gap if right > 0 else x - gap - wide if right < 0 else centred
    top = y + gap if down > 0 else y - gap - high if down < 0 else y - high / 2
    box = _Box(left, top, left + wide, top + high)
    anchor = {1: "start", -1: "end", 0: "middle"}[right]
    if not away:
        return _Label(box, lines, anchor)
    start = (x + right * reach * slant, y + down * reach * slant)
    return _Label(box, lines, anchor, (start, (x + right * gap, y + down * gap)))


# --- drawing ---------------------------------------------------------------------------------------------------


def _map(chart: _Chart, words: _Words, ids: str, link: Callable[[str], str] | None) -> list[str]:
    """Areas first, names last: a later area painted over an earlier name in the first attempt."""
    clipped = [*_areas(chart, ids, link), *_circles(chart)]
    order = range(len(chart.places))
    villages = [_village(n, chart, words, ids, link) for n in order]
    return [
        _tag("g", *clipped, clip_path=f"url(#{ids}-clip)"),
        *(_leader(label) for label in chart.labels.values()),
        _tag("g", *villages, role="list" if link else None),
        *(_station(n, chart, words) for n in range(len(chart.sites))),
        *([] if chart.places else [_nothing(chart, words)]),
        _tag("rect", width=chart.width, height=chart.height, fill="none", stroke=FAINT),
    ]


def _nothing(chart: _Chart, words: _Words) -> str:
    text = words.say(N_("没有可用的坐标"))
    return _text(chart.width / 2, chart.height / 2, text, size=16, anchor="middle")


def _areas(chart: _Chart, ids: str, link: Callable[[str], str] | None) -> list[str]:
    """The cells. With links they enlarge the target for a mouse; the keyboard finds the link once, at the name."""
    areas = []
    for place, cell in zip(chart.places, chart.cells, strict=False):
        shape = _tag("path", d=_outline(cell), **_painted(place.state, ids))
        if link and len(place.rows) == 1:
            shape = _tag("a", shape, href=link(place.rows[0].code), tabindex="-1", aria_hidden="true")
        areas.append(shape)
    return areas


def _painted(state: VillageState, ids: str) -> dict[str, str]:
    return {"fill": f"url(#{ids}-{state.value})", "stroke": FAINT}


def _outline(cell: Sequence[Spot]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in cell) + "Z"


def _circles(chart: _Chart) -> list[str]:
    opened = [site for site in chart.sites if site.row.state is StationState.OPEN]
    return [_circle(site.x, site.y, chart.radius_px, stroke_width=1.5) for site in opened]


def _circle(x: float, y: float, r: float, *, stroke_width: float) -> str:
    return _tag(
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


def _leader(label: _Label) -> str:
    if label.leader is None:
        return ""
    return _tag("path", d=_outline(label.leader).removesuffix("Z"), stroke=INK, fill="none")


def _village(n: int, chart: _Chart, words: _Words, ids: str, link: Callable[[str], str] | None) -> str:
    """Mark and name. Villages on one spot get a link each, stacked line by line under one mark."""
    place, label = chart.places[n], chart.labels.get(n)
    described = [words.describe(row) for row in place.rows]
    dot = _dot(place, chart, ids)
    if link is None or len(place.rows) == 1:
        body = [_tag("title", _esc(" / ".join(described))), dot, *_label(label)]
        if link is None:
            return _tag("g", *body)
        anchor = _tag("a", *body, href=link(place.rows[0].code), aria_label=described[0])
        return _tag("g", anchor, role="listitem")
    return dot + "".join(
        _tag("g", _tag("a", *_label(part), href=link(row.code), aria_label=text), role="listitem")
        for row, text, part in zip(place.rows, described, _split(label, place), strict=True)
    )


def _split(label: _Label | None, place: _Place) -> list[_Label]:
    """One label per village of a shared spot; a small box at the mark where the names did not fit."""
    if label is None or len(label.lines) != len(place.rows):
        return [_Label(_around(place.x, place.y, 6), (), "middle") for _ in place.rows]
    box = label.box
    tops = [box.top + n * (box.bottom - box.top) / len(place.rows) for n in range(len(place.rows) + 1)]
    return [
        _Label(_Box(box.left, top, box.right, bottom), (line,), label.anchor)
        for line, top, bottom in zip(label.lines, tops, tops[1:], strict=False)
    ]


def _dot(place: _Place, chart: _Chart, ids: str) -> str:
    paint = PAINTS[place.state]
    if chart.cells:
        return _tag("circle", cx=place.x, cy=place.y, r=chart.marker, fill=paint.ink, stroke="#ffffff", stroke_width=2)
    fill = f"url(#{ids}-{place.state.value})"
    return _tag("circle", cx=place.x, cy=place.y, r=chart.marker, fill=fill, stroke=paint.ink, stroke_width=2)


def _label(label: _Label | None) -> list[str]:
    if label is None:
        return []
    box = label.box
    x = {"start": box.left + _PAD, "end": box.right - _PAD, "middle": (box.left + box.right) / 2}[label.anchor]
    marks = [
        _tag(
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
        y = box.top + 14.5 + n * _LINE
        marks.append(_text(x, y, line, size=_NAME if n == 0 else _SMALL, bold=n == 0, anchor=label.anchor))
    return marks


def _station(n: int, chart: _Chart, words: _Words) -> str:
    site, label = chart.sites[n], chart.site_labels.get(n)
    title = _tag("title", _esc(f"{site.row.name}: {words.say(STATION_WORDS[site.row.state])}"))
    name = [mark.replace(INK, STATION_INK) for mark in _label(label)]
    return _tag("g", title, _house(site.x, site.y, site.row.state), *name, pointer_events="none")


def _house(x: float, y: float, state: StationState) -> str:
    outline = "#ffffff" if state is StationState.OPEN else STATION_INK
    inside = STATION_INK if state is StationState.OPEN else "#ffffff"
    dashes = "3 2" if state is StationState.PLANNED else None
    marks = [_tag("path", d=_HOUSE, fill=inside, stroke=outline, stroke_width=1.8, stroke_dasharray=dashes)]
    if state is StationState.PAUSED:
        marks.append(_tag("path", d="M-3 0V6M3 0V6", stroke=STATION_INK, stroke_width=2.5))
    return _tag("g", *marks, transform=f"translate({_n(x)} {_n(y)})")


# --- markup ----------------------------------------------------------------------------------------------------


def _document(words: _Words, *marks: str, ids: str, size: tuple[int, int], interactive: bool, place: str) -> str:
    title = f"{words.heading(place)} · {words.disclaimer()}"
    width, height = size
    return _tag(
        "svg",
        _tag("title", _esc(title), id=f"{ids}-title"),
        _tag("desc", _esc(words.summary()), id=f"{ids}-desc"),
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


def _defs(ids: str, chart: _Chart) -> str:
    clip = _tag("clipPath", _tag("rect", width=chart.width, height=chart.height), id=f"{ids}-clip")
    return _tag("defs", clip, *(_pattern(f"{ids}-{state.value}", paint) for state, paint in PAINTS.items()))


def _pattern(name: str, paint: Paint) -> str:
    marks = [_tag("rect", width=12, height=12, fill=paint.fill)]
    if paint.pattern:
        solid = paint.pattern.endswith("Z")
        fill, stroke = (paint.ink, None) if solid else ("none", paint.ink)
        marks.append(_tag("path", d=paint.pattern, fill=fill, stroke=stroke))
    return _tag("pattern", *marks, id=name, width=12, height=12, patternUnits="userSpaceOnUse")


def _text(
    x: float, y: float, text: str, *, size: int, bold: bool = False, anchor: str = "start", fill: str = INK
) -> str:
    return _tag(
        "text",
        _esc(text),
        x=x,
        y=y,
        font_size=size,
        font_weight="bold" if bold else None,
        text_anchor=None if anchor == "start" else anchor,
        fill=fill,
    )


def _tag(name: str, *content: str, **attributes: str | float | None) -> str:
    """An element; `content` is markup already escaped, attributes are escaped here, None leaves one out."""
    shown = "".join(
        f' {key.replace("_", "-")}="{_esc(value) if isinstance(value, str) else _n(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(content)
    return f"<{name}{shown}>{inner}</{name}>" if inner else f"<{name}{shown}/>"


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _esc(text: str) -> str:
    """Safe in text and attributes; characters that no XML may hold become the replacement mark."""
    return escape(_NOT_XML.sub("\ufffd", text), quote=True)


def _n(value: float) -> str:
    """A number as short as it can be said to a tenth of a pixel."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


_SLIM = frozenset(" .,:;'|!()[]fijlrtI")


def _width(text: str, size: float) -> float:
    """Estimated width: a Chinese character is as wide as high, a Latin one about half; the font is the reader's."""
    return sum(size if east_asian_width(char) in "WFA" else size * (0.34 if char in _SLIM else 0.58) for char in text)


_TOKEN = re.compile("(?:[!-~]{1,24}|\\s|.)[\u3001\u3002\uff0c\uff1a\uff1b\uff09,.;:)%]*\\s*", re.DOTALL)


def _tokens(text: str) -> list[str]:
    """Pieces between which a line may end: words and single Chinese characters, closing punctuation kept with both."""
    return _TOKEN.findall(text)


def _wrapped(tokens: Iterable[str], width: float, size: float) -> list[str]:
    """Lines of at most `width`, broken between tokens."""
    lines, line = [], ""
    for token in tokens:
        if line and _width((line + token).rstrip(), size) > width:
            lines.append(line.rstrip())
            line = token
        else:
            line += token
    return [*lines, line.rstrip()] if line.strip() else lines
