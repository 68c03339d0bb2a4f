"""What a hub adds to every node's pages: its desks, its entries in the head, and the stations' half of the exchange."""

from __future__ import annotations

from flask import Blueprint

from service.actions import replacing
from service.node import Node
from service.web import (
    account_pages,
    computers,
    coverage_page,
    dispatching,
    hub_words,
    inbox,
    opinions,
    reception,
    records_aside,
    registration,
    reviewing,
    stations_board,
    supervision,
    sync_api,
    town_data,
    unit_desk,
    upper,
    workbench,
)
from sync.limits import Limits

hub_words.install()

BLUEPRINTS = (
    inbox.pages, dispatching.pages, unit_desk.pages, supervision.pages, reviewing.pages, stations_board.pages,
    computers.pages, records_aside.pages, coverage_page.pages, town_data.pages, upper.pages,
    account_pages.pages,
)  # fmt: skip

# The first entry that an actor may see is where their day begins.
NAVIGATION = (
    inbox.NAVIGATION, unit_desk.NAVIGATION, supervision.NAVIGATION, opinions.NAVIGATION, reviewing.NAVIGATION,
    stations_board.NAVIGATION, coverage_page.NAVIGATION, town_data.NAVIGATION, upper.NAVIGATION,
    account_pages.NAVIGATION, workbench.NAVIGATION, registration.NAVIGATION, reception.NAVIGATION,
)  # fmt: skip

NEXT_STEPS = (
    inbox.NEXT_STEP, *unit_desk.NEXT_STEPS, *reviewing.NEXT_STEPS, supervision.NEXT_STEP, dispatching.NEXT_STEP,
)  # fmt: skip


def sync_blueprint(node: Node) -> Blueprint:
    return sync_api.blueprint(node, replacing.responder(node), Limits())
