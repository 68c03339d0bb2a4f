"""What views share: the node, who is asking, and one look at the database per page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

from flask import Blueprint, Flask, current_app, url_for
from flask_login import current_user
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from service.domain import facts as f
from service.domain.office_hours import local_date
from service.domain.opinions import Opinion
from service.domain.people import Actor
from service.domain.policy import Policy
from service.domain.refusals import NotFound, Refused
from service.domain.town import Town
from service.node import Node
from service.store import station_queries
from service.store.queries import OpinionFilter


class NotEnrolled(Refused):
    """This station has not been enrolled at its hub yet, so there is no place to record in."""

    def __init__(self) -> None:
        super().__init__("not_enrolled")


@dataclass(frozen=True, slots=True, kw_only=True)
class NavItem:
    """An entry in the head of every page. `label` is a msgid; `key` the access key, or empty."""

    endpoint: str
    label: str
    shown: Callable[[Actor], bool]
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """A step that the page of an opinion offers: `endpoint` takes `opinion_id`; `label` is a msgid.

    `kinds` are the facts the step records: the same form sent twice is known by them.
    """

    endpoint: str
    label: str
    offered: Callable[[Actor, Opinion], bool]
    kinds: tuple[type[f.Fact], ...] = ()
    main: bool = False
    values: Mapping[str, str] = field(default_factory=dict)  # further parts of the address


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    node: Node
    navigation: tuple[NavItem, ...]
    next_steps: tuple[NextStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at the node: a connection that only reads, the town as it is now, and one moment."""

    connection: Connection
    town: Town
    now: datetime

    @property
    def policy(self) -> Policy:
        return self.town.policy_on(self.now.date())

    @property
    def today(self) -> date:
        return local_date(self.now, self.policy.hours)

    def opinion(self, opinion_id: str, actor: Actor) -> Opinion:
        """The folded opinion, if this actor may see it; raises NotFound, also when they may not."""
        within = OpinionFilter.within(actor)
        home = node()
        found = station_queries.case(self.connection, home.ledger, home.hub_nodes, opinion_id, within)
        if found is None:
            raise NotFound("opinion", opinion_id)
        return found


def set_up(app: Flask, serving: Node, navigation: tuple[NavItem, ...], next_steps: tuple[NextStep, ...]) -> None:
    app.extensions["lianxin"] = Desk(node=serving, navigation=navigation, next_steps=next_steps)


def of(app: Flask) -> Desk:
    found: Desk = app.extensions["lianxin"]
    return found


def desk() -> Desk:
    return of(current_app)


def node() -> Node:
    return desk().node


def actor() -> Actor:
    """Who is signed in; views behind `signed_in_only` may rely on it."""
    found: Actor = current_user.actor
    return found


def signed_in() -> bool:
    return bool(current_user.is_authenticated)


@contextmanager
def looking() -> Iterator[Look]:
    with node().reading() as connection:
        yield Look(connection=connection, town=node().town(connection), now=node().now())


def signed_in_only(pages: Blueprint) -> None:
    """Every page of the blueprint asks who you are first."""

    @pages.before_request
    def ask() -> Response | None:
        if signed_in():
            return None
        return current_app.login_manager.unauthorized()  # type: ignore[attr-defined,no-any-return]


def desk_station(town: Town) -> str:
    """The station an actor writes down for: their own, this node's, or at the hub the central one.

    Raises NotEnrolled when there is none, or its statement has not arrived.
    """
    own = actor().station or (node().station if not node().is_hub else _central(town))
    if own is None or own not in town.stations:
        raise NotEnrolled
    return own


def _central(town: Town) -> str | None:
    return next((code for code, station in town.stations.items() if station.stated.tier == "central"), None)


def home() -> str:
    """Where this actor's day begins: the first entry of the navigation they may see."""
    shown = (item for item in desk().navigation if item.shown(actor()))
    first = next(shown, None)
    return url_for(first.endpoint) if first else url_for("auth.password")
