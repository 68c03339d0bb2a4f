"""A hub that has no room for another refused branch says so, and who brought it keeps it."""

import pytest

from sync import incidents
from sync.errors import ForkFound
from sync.events import Scope
from sync.testing import Lab
from sync.testing.nodes import draft

HALL = Scope("t/s/a")


def test_who_brings_a_third_node_s_branch_does_not_yield_it_to_a_hub_without_room(
    sqlite_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, station = sqlite_lab.pair()
    other = sqlite_lab.node("other")
    sqlite_lab.enrol(other, hub, ["t/pub", HALL], [HALL])
    station.record(HALL, draft(text="shared"))
    station.exchange(hub)
    restored = sqlite_lab.copy(hub, "restored")
    twin = sqlite_lab.copy(station, "twin")
    station.record(HALL, draft(text="here"))
    station.exchange(hub)
    other.exchange(hub)
    twin.record(HALL, draft(text="there"))
    twin.exchange(restored)
    monkeypatch.setattr(incidents, "INCIDENTS_PER_SENDER_MAX", 0)
    with pytest.raises(ForkFound):
        other.exchange(restored)
    assert any(event.body and b"here" in event.body for event in other.events())
