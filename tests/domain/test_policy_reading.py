"""Reading a policy: the defaults, what a township may write, and how it is told about mistakes."""

import json
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

import config
from service.domain.policy import Policy
from service.domain.policy_reading import BadPolicy, policy_from_mapping, policy_to_mapping, unknown_keys
from service.domain.working_days import Term

POLICY_FILE = Path(config.__file__).parent / "policy.toml"


@pytest.fixture
def mapping() -> dict[str, Any]:
    return tomllib.loads(POLICY_FILE.read_text("utf-8"))


def test_shipped_file_and_built_in_defaults_say_the_same(mapping: dict[str, Any]) -> None:
    assert unknown_keys(mapping) == ()
    assert policy_from_mapping(mapping) == Policy()
    assert policy_to_mapping(Policy()) == mapping  # no default is left out of the file


def test_policy_survives_the_journey_as_json(mapping: dict[str, Any]) -> None:
    mapping["terms"]["handle"] = "7wd"
    mapping["hours"]["opens"] = "08:00"
    mapping["ladder"]["transfer"]["remind_before_wd"] = [20, 5]
    policy = policy_from_mapping(mapping)
    assert policy_from_mapping(json.loads(json.dumps(policy_to_mapping(policy)))) == policy
    assert policy.terms.handle == Term(7, "wd")
    assert policy.hours.opens == time(8)


def test_every_bad_key_is_listed_at_once() -> None:
    bad = {
        "effective_from": "soon",
        "hours": {"opens": "9", "zone": "Mars/Olympus"},
        "terms": {"handle": "5x", "sign": 3},
        "limits": {"returns": -1, "extensions": True},
        "ladder": {"assign": {"remind_half": "yes", "remind_before_wd": 1}, "desk": []},
        "level": [],
    }
    with pytest.raises(BadPolicy) as caught:
        policy_from_mapping(bad)
    keys = {problem.split(":")[0] for problem in caught.value.problems}
    assert keys == {
        "effective_from",
        "hours.opens",
        "hours.zone",
        "terms.handle",
        "terms.sign",
        "limits.returns",
        "limits.extensions",
        "ladder.assign.remind_half",
        "ladder.assign.remind_before_wd",
        "ladder.desk",
        "level",
    }


def test_bad_key_within_a_level_is_named_by_its_number(mapping: dict[str, Any]) -> None:
    mapping["level"][2]["name"] = " "
    with pytest.raises(BadPolicy, match=r"level\[2\]\.name: must be a text"):
        policy_from_mapping(mapping)


@pytest.mark.parametrize(
    ("section", "value", "problem"),
    [
        ("hours", {"opens": "18:00"}, "hours.opens"),
        ("ladder", {"assign": {"red_overdue_wd": 1}}, "ladder.assign"),
        ("ladder", {"transfer": {"presidium_overdue_wd": 10}}, "ladder.transfer"),
        ("terms", "5wd", "terms: must be a table"),
        ("ladder", [], "ladder: must be a table"),
    ],
)
def test_values_that_contradict_each_other_are_refused(section: str, value: object, problem: str) -> None:
    with pytest.raises(BadPolicy, match=problem):
        policy_from_mapping({section: value})


def test_policy_of_an_older_node_keeps_defaults_and_of_a_newer_one_is_still_read() -> None:
    policy = policy_from_mapping({"effective_from": "2027-01-01", "terms": {"screen": "1wd", "of_tomorrow": "2wd"}})
    assert policy.effective_from == date(2027, 1, 1)
    assert (policy.terms.screen, policy.terms.direct) == (Term(1, "wd"), Term(3, "wd"))
    assert unknown_keys({"terms": {"screne": "1wd"}, "leveel": []}) == ("terms.screne", "leveel")
