"""What the story looks up in the databases, beside the pages: both ends equal, nothing lost, tables as rebuilt."""

from __future__ import annotations

from sqlalchemy import func, select

from config import jobs
from service.actions import covering
from service.actions.checking import check
from service.demo import town
from service.demo.playing import STATION, Story, expect, seen, until
from service.demo.township import HUB
from service.store import station_queries
from service.store.tables import opinions
from sync.events import Scope
from sync.positions import Heads
from sync.tables import ledger_events


def opinion_of_form(story: Story, station: str, number: str) -> str | None:
    with story.node(station) as node, node.reading() as connection:
        return station_queries.opinion_of_form(connection, node.station_scope(station), number)


def opinions_at(story: Story, home: str) -> int:
    with story.node(home) as node, node.reading() as connection:
        return connection.execute(select(func.count()).select_from(opinions)).scalar_one()


def heads_at(story: Story, home: str, station: str) -> Heads:
    """How far each stream that the two share is held."""
    with story.node(home) as node, node.reading() as connection:
        scopes = [node.public_scope, Scope(node.station_scope(station))]
        return node.ledger.heads(connection, scopes)


def compare_ends(story: Story) -> None:
    """Stream by stream, number and digest, read from the two databases."""
    until(lambda: opinions_at(story, HUB) == opinions_at(story, STATION), "the hub has folded what arrived")
    mine, theirs = heads_at(story, STATION, STATION), heads_at(story, HUB, STATION)
    expect(mine == theirs, f"heads differ: {mine} and {theirs}")
    story.counted |= {"opinions_at_station": opinions_at(story, STATION), "opinions_at_hub": opinions_at(story, HUB),
                      "streams_equal": len(mine), "verified_equal": mine == theirs}  # fmt: skip


def coverage(story: Story) -> None:
    """The hub's worker has compiled it; every station holds the same figures and the page shows them."""
    story.ring(jobs.COVERAGE)
    for station in town.stations():
        story.exchange(station)
    views = {}
    for home in (HUB, *town.stations()):
        with story.node(home) as node, node.reading() as connection:
            views[home] = covering.published(node.town(connection))
    at_hub = views.pop(HUB)
    expect(at_hub, "the hub has published no coverage")
    assert at_hub is not None
    differing = [station for station, view in views.items() if view != at_hub]
    expect(not differing, f"the coverage at {differing} differs from the hub's")
    seen(story.sign_in(HUB, "clerk").open("/hub/coverage"))
    story.counted |= {
        "coverage_as_of": at_hub.as_of.isoformat(), "coverage_at_stations": len(views),
        "residents_in_reach": at_hub.reach.residents.part, "residents_counted": at_hub.reach.residents.whole,
    }  # fmt: skip


def check_nodes(story: Story) -> None:
    """As `lianxin check` on every node."""
    events = {}
    for home in (HUB, *town.stations()):
        with story.node(home) as node:
            problems = check(node)
            expect(not problems, f"check at {home}: {problems}")
            with node.reading() as connection:
                events[home] = connection.execute(select(func.count()).select_from(ledger_events)).scalar_one()
    story.counted |= {"nodes_checked": len(events), "events": events}
