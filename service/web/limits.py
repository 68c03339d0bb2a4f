"""How often one address may ask: in memory at a station, in Redis at the hub, where many processes count together."""

from __future__ import annotations

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from service.web import desk

_REDIS_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 2}  # a page does not wait for a silent Redis

limiter = Limiter(get_remote_address, headers_enabled=False)


def set_up(app: Flask) -> None:
    """Redis being away must not lock anybody out: each process then counts for itself."""
    node = desk.of(app).node
    shared = node.settings.broker_url if node.is_hub else None
    app.config.update(
        RATELIMIT_STORAGE_URI=shared or "memory://",
        RATELIMIT_STORAGE_OPTIONS=_REDIS_OPTIONS if shared else {},
        RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=bool(shared),
        RATELIMIT_KEY_PREFIX="lianxin",
    )
    limiter.init_app(app)
