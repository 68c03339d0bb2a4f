"""Policy: which term and which people its rules name."""

import pytest

from service.domain.policy import Policy, Track
from service.domain.working_days import Term


def test_terms_are_found_by_the_rule_a_clock_names() -> None:
    assert Policy().term("follow_up") == Term(5, "wd")
    with pytest.raises(KeyError):
        Policy().term("hours")


@pytest.mark.parametrize(
    ("urgency", "is_complex", "term"),
    [("normal", False, "5wd"), ("normal", True, "10wd"), ("urgent", True, "3wd"), ("critical", False, "1wd")],
)
def test_handling_term_follows_urgency_first(urgency: str, is_complex: bool, term: str) -> None:
    assert str(Policy().handling_term(urgency, is_complex=is_complex)) == term


@pytest.mark.parametrize(
    ("hard", "adopted", "term"),
    [(True, True, "6mo"), (True, False, "6mo"), (False, True, "3mo"), (False, False, "1mo")],
)
def test_transfer_term_is_the_laws_where_the_law_applies(hard: bool, adopted: bool, term: str) -> None:
    assert str(Policy().transfer_term(hard=hard, adopted=adopted)) == term


def test_desk_levels_go_to_our_own_people_only() -> None:
    policy = Policy()
    assert policy.addressees(Track.DESK, 1) == ("clerk", "chief")
    assert policy.addressees(Track.ASSIGN, 1) == ("handler", "unit_head")
    assert [level.name for level in policy.levels] == ["到期提醒", "催办", "黄牌", "红牌", "主席团督办"]
