"""The sample town: what the hub's clerk would type in on the first day, taken from data/town.toml.

Every figure and name in that file is made up and says so. The same actions run as on the pages.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any

from service.actions.accounts import NewAccount, create_account
from service.actions.founding import found
from service.actions.master_data import (
    AreaForm,
    DeputyForm,
    Place,
    StationForm,
    UnitForm,
    post_person,
    state_area,
    state_deputy,
    state_station,
    state_unit,
)
from service.actions.receptions import HeldReception, hold
from service.domain.people import Actor, Role
from service.node import Node
from service.store.unit import Unit

FOUNDER = Actor(account="demo", name="演示(虚构)", role=Role.ADMIN)
STATION_ROLES = (Role.LIAISON, Role.CHIEF, Role.DEPUTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One line of the table that the demo prints, without its password. `home` is "hub" or a station's code."""

    home: str
    username: str
    name: str
    role: Role
    unit: str = ""
    deputy: str = ""


@cache
def sample() -> dict[str, Any]:
    return tomllib.loads(resources.files("service.demo").joinpath("data/town.toml").read_text(encoding="utf-8"))


def stations() -> dict[str, str]:
    """Station codes with their names, the central one first."""
    return {station["code"]: station["name"] for station in sample()["station"]}


def found_sample(hub: Node) -> int:
    """Found the town and type in the sample; gives the number of facts."""
    with hub.unit(FOUNDER) as unit:
        facts = found(unit, hub.settings.town, sample()["name"])
    with hub.unit(FOUNDER) as unit:
        facts += _places(unit)
    with hub.unit(FOUNDER) as unit:
        facts += _stations(unit)
    with hub.unit(FOUNDER) as unit:
        return facts + _deputies(unit)


def _places(unit: Unit) -> int:
    areas, frame = sample()["areas"], sample()["frame"]
    for code, (name, population, lat, lng) in areas.items():
        place = Place(lat=lat, lng=lng, frame=frame)
        state_area(unit, code, AreaForm(name=name, confirmed=False, population=population, place=place))
    for row in sample()["unit"]:
        form = UnitForm(name=row["name"], kind=row["kind"], duties=tuple(row["duties"]), area=row.get("area", ""))
        state_unit(unit, row["code"], form)
    return len(areas) + len(sample()["unit"])


def _stations(unit: Unit) -> int:
    for row in sample()["station"]:
        _, _, lat, lng = sample()["areas"][row["area"]]
        form = StationForm(
            name=row["name"], tier=row["tier"], area=row["area"], status="open", address=row["address"],
            hours=row["hours"], opened_on=row["opened_on"], place=Place(lat=lat, lng=lng, frame=sample()["frame"]),
        )  # fmt: skip
        state_station(unit, row["code"], form)
    return len(sample()["station"])


def _deputies(unit: Unit) -> int:
    """Deputies and posts name a station, so stations come before them."""
    posts = [(row, post, person) for row in sample()["station"] for post, person in row["posts"].items()]
    for row, post, person in posts:
        post_person(unit, row["code"], person=person, post=post, from_on=row["opened_on"])
    for row in sample()["deputy"]:
        form = DeputyForm(name=row["name"], levels=tuple(row["levels"]), district="样本选区", station=row["station"])
        state_deputy(unit, row["code"], form)
    return len(posts) + len(sample()["deputy"])


def accounts() -> list[Account]:
    """Everybody who can sign in, hub first."""
    hub = [Account(home="hub", **(row | {"role": Role(row["role"])})) for row in sample()["account"]]
    return hub + [_station_account(station, role) for station in sample()["station"] for role in STATION_ROLES]


def _station_account(station: dict[str, Any], role: Role) -> Account:
    code = station["code"]
    deputy = next(row for row in sample()["deputy"] if row["station"] == code) if role is Role.DEPUTY else None
    return Account(
        home=code, username=f"{code}.{role.value}", role=role, deputy=deputy["code"] if deputy else "",
        name=deputy["name"] if deputy else station["posts"][role.value],
    )  # fmt: skip


def create_accounts(node: Node, home: str, passwords: dict[str, str]) -> None:
    """The accounts of one node."""
    with node.unit(FOUNDER) as unit:
        for account in accounts():
            if account.home == home:
                new = NewAccount(
                    username=account.username, name=account.name, role=account.role.value, unit=account.unit,
                    password=passwords[account.username], station="" if home == "hub" else home,
                    deputy=account.deputy,
                )  # fmt: skip
                create_account(unit, new)


def hold_receptions(station: Node, code: str) -> int:
    """The station's past receptions, recorded by its liaison officer; gives their number."""
    liaison = Actor(account="demo", name="演示(虚构)", role=Role.LIAISON, station=code)
    rows = [row for row in sample()["reception"] if row["station"] == code]
    with station.unit(liaison) as unit:
        for number, row in enumerate(rows):
            held = HeldReception(form=f"demo-{number}", held_on=unit.today - timedelta(days=row["days_ago"]),
                                 headcount=row["headcount"], area=row.get("area", ""))  # fmt: skip
            hold(unit, held, code)
    return len(rows)
