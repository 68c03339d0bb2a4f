"""The words of the coverage map. Their source is Chinese, so without a translation the map is simply Chinese."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from service.domain.coverage import Coverage, Mark, MarkKind, StationState, VillageRow, VillageState

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
class Words:
    """The coverage in the reader's language."""

    translate: Callable[[str], str]
    coverage: Coverage
    station_names: Mapping[str, str]

    @classmethod
    def of(cls, labels: Labels | None, coverage: Coverage) -> Words:
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
