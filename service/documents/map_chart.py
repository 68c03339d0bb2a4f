"""The map before anything is drawn: every cell, mark and name with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.documents.map_labels import Label, labelled
from service.documents.map_places import Place, Site, places_of, projection, site_of
from service.documents.map_words import STATION_WORDS, Words
from service.domain.coverage import Coverage
from service.domain.geometry import Spot, nearest_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Everything with its place, before anything is drawn. `cells` is empty where no boundary may be drawn."""

    width: float
    height: float
    px_per_m: float  # 0 when nothing has a point
    radius_px: float
    places: tuple[Place, ...]
    sites: tuple[Site, ...]
    cells: tuple[tuple[Spot, ...], ...]
    labels: Mapping[int, Label]  # by index of the place
    site_labels: Mapping[int, Label]
    marker: float  # radius of a village's mark

    @property
    def unnamed(self) -> int:
        return sum(len(place.rows) for n, place in enumerate(self.places) if n not in self.labels)

    @classmethod
    def of(cls, coverage: Coverage, words: Words, *, width: float, height: float, spot: float | None) -> Chart:
        """`spot`: the radius of a village's mark where no cell may be drawn; None draws cells and small marks."""
        stations = [s for s in coverage.stations if s.point is not None and s.state in STATION_WORDS]
        points = [row.point for row in coverage.villages if row.point is not None]
        points += [row.point for row in stations if row.point is not None]
        project, scale = projection(points, coverage.settings.radius_m, width, height)
        places = places_of(coverage.villages, project)
        sites = tuple(site_of(station, station.point, project) for station in stations if station.point is not None)
        marker = spot or 6.0
        labels, site_labels = labelled(places, sites, words, width=width, height=height, marker=marker)
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
