"""A coverage travels as JSON and is read as it was published."""

import json

import pytest
from hypothesis import given

from service.domain.coverage import ReceptionHeld, StationSite, Village
from service.domain.coverage_mapping import coverage_from_mapping, coverage_to_mapping
from service.domain.geometry import Point
from tests.domain.coverage_towns import at, compiled, row, station, towns, village


@given(towns())
def test_a_compiled_coverage_survives_the_journey_as_json(
    town: tuple[list[Village], list[StationSite], list[ReceptionHeld]],
) -> None:
    coverage = compiled(*town)
    assert coverage_from_mapping(json.loads(json.dumps(coverage_to_mapping(coverage)))) == coverage


def test_keys_of_a_newer_version_are_passed_over() -> None:
    coverage = compiled([village("a", at(0))], [station("s", "a")])
    body = {**coverage_to_mapping(coverage), "backup": {"part": 1}}
    assert coverage_from_mapping(body) == coverage


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("as_of", 20261123),
        ("as_of", "yesterday"),
        ("villages", "a"),
        ("villages", [{"code": "a"}]),
        ("villages", [{"code": "a", "name": "a", "population": "many", "point": None, "state": "gap"}]),
        ("villages", [{"code": "a", "name": "a", "population": 1, "point": None, "state": "splendid"}]),
        ("reach", {"residents": {"part": True, "whole": 1}, "villages": {"part": 1, "whole": 1}}),
    ],
)
def test_a_body_that_does_not_fit_is_a_named_error(key: str, value: object) -> None:
    body = coverage_to_mapping(compiled([village("a", at(0))], []))
    with pytest.raises(ValueError):
        coverage_from_mapping({**body, key: value})


def test_a_whole_number_of_degrees_comes_back_as_a_coordinate() -> None:
    body = coverage_to_mapping(compiled([village("a", Point(lat=23.0, lng=116.0, frame="wgs84"))], []))
    body["villages"][0]["point"]["lat"] = 23  # a JSON writer may drop the ".0"
    assert isinstance(row(coverage_from_mapping(body), "a").point, Point)
