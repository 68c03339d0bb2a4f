"""For machines that watch: alive, ready, and numbers. No names, no texts, no secrets."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import text

from service.store import node_facts, station_queries
from service.store.tables import READ_VERSION
from service.web import desk
from service.web.limits import limiter

pages = Blueprint("health", __name__)
limiter.exempt(pages)


@pages.get("/healthz")
def alive() -> Response:
    return jsonify(status="alive")


@pages.get("/readyz")
def ready() -> tuple[Response, int]:
    """200 when pages can be served; otherwise 503 and what is missing."""
    reasons = _reasons()
    return jsonify(status="not ready" if reasons else "ready", reasons=reasons), 503 if reasons else 200


def _reasons() -> list[str]:
    try:
        with desk.node().reading() as connection:
            connection.execute(text("SELECT 1"))
            version = node_facts.get(connection, "read_version")
    except Exception as error:  # noqa: BLE001 - whatever the database says: the watcher wants a reason, not a traceback
        return [f"database: {type(error).__name__}"]
    return [] if version == READ_VERSION else ["read tables are being rebuilt"]


@pages.get("/metrics")
def metrics() -> Response:
    """Prometheus text, computed from the database when asked."""
    registry = CollectorRegistry()
    with desk.node().reading() as connection:
        figures = station_queries.figures(connection, desk.node().ledger)
    _gauge(registry, "lianxin_pending_subjects", "subjects waiting to be folded", figures.pending)
    _gauge(registry, "lianxin_quarantined_subjects", "subjects that could not be folded", figures.quarantined)
    _gauge(registry, "lianxin_open_opinions", "opinions not ended", figures.open)
    states = Gauge("lianxin_opinions", "opinions by state", ["state"], registry=registry)
    for state, count in figures.by_state.items():
        states.labels(state).set(count)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _gauge(registry: CollectorRegistry, name: str, text: str, value: Any) -> None:
    Gauge(name, text, registry=registry).set(value)
