"""What is written around the map: heading, conditions, what it cannot show, legend and figures."""

from __future__ import annotations

from service.documents import svg
from service.documents.map_chart import Chart
from service.documents.map_symbols import FAINT, circle, house, painted
from service.documents.map_words import N_, STATE_MEANINGS, STATE_WORDS, STATION_WORDS, Words
from service.documents.svg import INK
from service.documents.typesetting import HEADING, NAME, Column, text_width
from service.domain.coverage import Measure, Share, StationState


def set_header(column: Column, words: Words, place: str) -> Column:
    heading, disclaimer = words.heading(place), words.disclaimer()
    top = column.y
    column.write(heading, size=HEADING, bold=True)
    if text_width(heading, HEADING) + text_width(disclaimer, 16) + 24 <= column.width:
        right = column.x + column.width
        column.marks.append(svg.text(right, top + HEADING * 1.05, disclaimer, size=16, bold=True, anchor="end"))
    else:
        column.write(disclaimer, size=16, bold=True)
    column.write_pieces(words.conditions(), fill=FAINT)
    return column


def set_strip(column: Column, words: Words) -> Column:
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


def set_panel(column: Column, words: Words, chart: Chart, ids: str) -> Column:
    _state_legend(column, words, ids)
    _symbol_legend(column, words, chart)
    _figures(column, words)
    return column


def _state_legend(column: Column, words: Words, ids: str) -> None:
    for state, word in STATE_WORDS.items():
        top = column.y + 5
        count = words.villages(words.coverage.states[state])
        column.write(f"{words.say(word)}  {count}", size=NAME, bold=True, indent=44)
        column.write(words.say(STATE_MEANINGS[state]), indent=44, fill=FAINT)
        column.marks.append(
            svg.tag("rect", x=column.x, y=top, width=34, height=30, rx=3, **painted(state, ids), stroke_width=1.5)
        )
        column.skip(3)
    column.skip(5)


def _symbol_legend(column: Column, words: Words, chart: Chart) -> None:
    for state in sorted({site.row.state for site in chart.sites}, key=list(STATION_WORDS).index):
        column.write(words.say(STATION_WORDS[state]), indent=44)
        column.marks.append(house(column.x + 17, column.y - 9, state))
        column.skip(2)
    if any(site.row.approximate for site in chart.sites):
        column.write(words.say(N_("无自有坐标的站,画在村点上")), indent=44, fill=FAINT)
    if any(site.row.state is StationState.OPEN for site in chart.sites):
        column.write(words.say(N_("距开放站不超过R")), indent=44)
        column.marks.append(circle(column.x + 17, column.y - 9, 9, stroke_width=1.5))
    if chart.px_per_m:
        _scale_bar(column, words, chart.px_per_m)
    if chart.cells:
        column.write(words.say(N_("每格表示离该村点最近的地方")), fill=FAINT)
    if chart.unnamed:
        column.write(words.say(N_("%(villages)s的名称未能标出,见列表"), villages=words.villages(chart.unnamed)))
    column.skip(8)


def _scale_bar(column: Column, words: Words, px_per_m: float) -> None:
    metres = _round_length(90 / px_per_m)
    length = metres * px_per_m
    column.skip(4)
    column.write(words.metres(metres), indent=length + 10)
    left, right = svg.number(column.x), svg.number(column.x + length)
    top, bottom = svg.number(column.y - 12), svg.number(column.y - 8)
    bar = f"M{left} {top}V{bottom}H{right}V{top}"
    column.marks.append(svg.tag("path", d=bar, fill="none", stroke=INK, stroke_width=1.5))


def _figures(column: Column, words: Words) -> None:
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


def _figure(column: Column, words: Words, name: str, measure: Measure) -> None:
    column.write(f"{name} {_percent(measure.residents)}", size=NAME, bold=True)
    column.write(_both(words, measure), fill=FAINT)


def _both(words: Words, measure: Measure) -> str:
    residents = words.say(N_("%(count)s人"), count=_fraction(measure.residents))
    return f"{residents} · {words.villages(_fraction(measure.villages))}"


def _percent(share: Share) -> str:
    return "-" if share.percent is None else f"{share.percent}%"


def _fraction(share: Share) -> str:
    return f"{share.part:,}/{share.whole:,}"


def _round_length(metres: float) -> int:
    """The largest of 1, 2, 5, 10, 20 … metres that is not longer."""
    length = 1
    while length * 10 <= metres:
        length *= 10
    return next(length * step for step in (5, 2, 1) if length * step <= metres or step == 1)
