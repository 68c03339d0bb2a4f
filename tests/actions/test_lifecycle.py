"""A case from registration to its end, by everybody's own hand."""

import pytest

from service.domain.opinions import State
from tests.actions.township import REACHABLE, Township


@pytest.mark.parametrize("state", REACHABLE)
def test_the_ordinary_way_leads_to_every_state(any_town: Township, state: State) -> None:
    key = any_town.case_in(state)
    assert any_town.opinion(key).registered_by is not None
