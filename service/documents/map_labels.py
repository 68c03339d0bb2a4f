"""Names on the map: where each finds room without hiding a mark or another name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import hypot

from service.documents.map_places import Place, Site
from service.documents.map_words import STATE_WORDS, Words
from service.documents.typesetting import NAME, text_width
from service.domain.geometry import Spot

LINE, PAD = 18, 4
# Right first, as one reads; then around the mark, then farther out on a leader line.
_DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
_DISTANCES = (0, 14, 30, 46)
# The fullest text of _village_texts that is tried, attempt by attempt; with bare names several orders are worth a try.
_LEVELS = (0, 1, 2, 3, 3, 3, 3, 3, 3)
_NAME_MAX = 12  # longer names are cut on the map, and whole in the tooltip and in the table


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that text or a mark takes up."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, width: float, height: float) -> bool:
        return self.left >= 2 and self.top >= 2 and self.right <= width - 2 and self.bottom <= height - 2


@dataclass(frozen=True, slots=True)
class Label:
    """Lines in a box, the first one bold. `leader`: the line from mark to box, if they are apart."""

    box: Box
    lines: tuple[str, ...]
    anchor: str
    leader: tuple[Spot, Spot] | None = None

    @property
    def boxes(self) -> list[Box]:
        """The ground it takes up; a leader line as a row of dots, so that no name is laid over it."""
        if self.leader is None:
            return [self.box]
        (x, y), (end_x, end_y) = self.leader
        dots = max(1, int(hypot(end_x - x, end_y - y) // 4))
        steps = [n / dots for n in range(dots)]
        return [self.box, *(around(x + (end_x - x) * t, y + (end_y - y) * t, 2) for t in steps)]


def labelled(
    places: Sequence[Place],
    sites: Sequence[Site],
    words: Words,
    *,
    width: float,
    height: float,
    marker: float,
) -> tuple[dict[int, Label], dict[int, Label]]:
    """Names where they hide no mark and no other name: villages first, the most crowded before the others, then
    stations where there is room.

    All villages are tried with the fullest text, then with less, until every one has its name. One that fits nowhere
    even so is left out; the chart counts it, and the table beside the map has it.
    """
    free = _Free(places, width=width, height=height)
    free.taken += [around(place.x, place.y, marker) for place in places]
    free.taken += [around(site.x, site.y, 10) for site in sites]
    reaches = [max([marker] + [11 for s in sites if hypot(s.x - p.x, s.y - p.y) < 12]) for p in places]
    texts = [_village_texts(place, words) for place in places]
    labels: dict[int, Label] = {}
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
    places: Sequence[Place], reaches: Sequence[float], texts: Sequence[_Texts], order: Iterable[int], free: _Free
) -> dict[int, Label]:
    """Labels by index of the place, set in `order`; only the texts given are tried."""
    labels: dict[int, Label] = {}
    for n in order:
        label = free.fit(places[n].x, places[n].y, reaches[n], texts[n])
        if label:
            labels[n] = label
            free.taken += label.boxes
    return labels


def _enrich(
    labels: dict[int, Label],
    places: Sequence[Place],
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


def _station_names(sites: Sequence[Site], free: _Free) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    for n, site in enumerate(sites):
        label = free.fit(site.x, site.y, 11, [(_short(site.row.name),)])
        if label and label.leader is None:
            labels[n] = label
            free.taken += label.boxes
    return labels


def around(x: float, y: float, reach: float) -> Box:
    return Box(x - reach, y - reach, x + reach, y + reach)


def _room(place: Place, places: Sequence[Place]) -> float:
    return min((hypot(place.x - o.x, place.y - o.y) for o in places if o is not place), default=0.0)


def _village_texts(place: Place, words: Words) -> _Texts:
    """What to write beside a village, the fullest first."""
    if len(place.rows) > 1:  # one spot, several villages: a fault that must be seen
        both = tuple(f"{_short(row.name)} {words.say(STATE_WORDS[row.state])}" for row in place.rows)
        return [both, (_short(words.listed(row.name for row in place.rows)),)]
    row = place.rows[0]
    name, word = _short(row.name), words.say(STATE_WORDS[row.state])
    marks = tuple(words.mark(mark) for mark in row.marks)
    distance = "" if row.distance_m is None else f" {words.metres(row.distance_m)}"
    return [(name, word + distance, *marks), (name, word, *marks), (name, word), (name,)]


def _short(name: str) -> str:
    return name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 1] + "…"


@dataclass(slots=True)
class _Free:
    """The room left on the map."""

    places: Sequence[Place]
    width: float
    height: float
    taken: list[Box] = field(default_factory=list)

    def copy(self) -> _Free:
        return _Free(self.places, self.width, self.height, [*self.taken])

    def fit(
        self, x: float, y: float, reach: float, texts: _Texts, distances: Sequence[int] = _DISTANCES
    ) -> Label | None:
        """A free label for the mark at (x, y): close by rather than full, but with more than a bare name rather than
        close by; and over the mark's own ground rather than over a neighbour's."""
        for lines, away in [(t, a) for a in distances for t in texts[:-1]] + [(texts[-1], a) for a in distances]:
            tries = [_beside(x, y, reach + 3, away, d, lines, self.width) for d in _DIRECTIONS]
            open_tries = [label for label in tries if self._is_free(label)]
            if open_tries:
                return min(open_tries, key=lambda label: not self._is_own(label.box, x, y))
        return None

    def _is_free(self, label: Label) -> bool:
        if not label.box.inside(self.width, self.height):
            return False
        return not any(box.meets(other) for box in label.boxes for other in self.taken)

    def _is_own(self, box: Box, x: float, y: float) -> bool:
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
) -> Label:
    """The label on one side of a mark of radius `reach`, `away` pixels off and then on a leader line. Above or below
    a mark near the edge it is shifted into the map."""
    right, down = direction
    wide = max(text_width(line, NAME) for line in lines) + 2 * PAD
    high = len(lines) * LINE + 2
    slant = 0.7 if right and down else 1.0
    gap = (reach + away) * slant
    centred = min(max(x - wide / 2, 2), map_width - wide - 2)
    left = x + gap if right > 0 else x - gap - wide if right < 0 else centred
    top = y + gap if down > 0 else y - gap - high if down < 0 else y - high / 2
    box = Box(left, top, left + wide, top + high)
    anchor = {1: "start", -1: "end", 0: "middle"}[right]
    if not away:
        return Label(box, lines, anchor)
    start = (x + right * reach * slant, y + down * reach * slant)
    return Label(box, lines, anchor, (start, (x + right * gap, y + down * gap)))
