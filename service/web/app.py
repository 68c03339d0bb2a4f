"""The web application of one node: what it is made of, in the order in which a request meets it."""

from __future__ import annotations

from flask import Blueprint, Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from service.node import Node
from service.web import (
    account_pages,
    attached,
    attaching,
    auth,
    desk,
    errors,
    health,
    joining,
    language,
    limits,
    opinions,
    presenting,
    public,
    reception,
    registration,
    security,
    steps,
    stick,
    sync_state,
    workbench,
)

FORM_BYTES_MAX = 1024 * 1024  # texts only; whoever takes files raises it for their own request


def create_app(node: Node) -> Flask:
    """The application of a station, a township's hub or a county's, by the node's role and town."""
    app = Flask("service.web")
    app.config.from_mapping(_config(node))
    desk.set_up(app, node, _navigation(node), _next_steps(node))
    language.set_up(app)
    csrf = security.set_up(app)
    limits.set_up(app)
    auth.set_up(app)
    presenting.set_up(app)
    errors.set_up(app)
    for pages in _pages(node):
        app.register_blueprint(pages)
    for machine in _machines(node):
        csrf.exempt(machine)  # no cookies there, so nothing to forge
        app.register_blueprint(machine)
    if node.settings.trusted_proxies:
        hops = node.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _config(node: Node) -> dict[str, object]:
    return {
        "SECRET_KEY": node.secret_key,
        "MAX_CONTENT_LENGTH": FORM_BYTES_MAX,
        "MAX_FORM_MEMORY_SIZE": FORM_BYTES_MAX,
        "MAX_FORM_PARTS": 200,
    }


def _pages(node: Node) -> tuple[Blueprint, ...]:
    if node.is_county:
        from service.web import county

        return (auth.pages, language.pages, health.pages, stick.pages, *county.BLUEPRINTS)
    everywhere = (auth.pages, language.pages, public.pages, health.pages, workbench.pages, registration.pages,
                  opinions.pages, attached.pages, attaching.pages, steps.pages, reception.pages,
                  stick.pages)  # fmt: skip
    if not node.is_hub:
        return (*everywhere, joining.pages, sync_state.pages, account_pages.pages)
    from service.web import hub  # a village PC does not load the hub's pages

    return (*everywhere, *hub.BLUEPRINTS)


def _machines(node: Node) -> tuple[Blueprint, ...]:
    """Blueprints that talk to other nodes, not to browsers."""
    if not node.is_hub:
        return ()
    from service.web import hub

    return (hub.sync_blueprint(node),)


def _navigation(node: Node) -> tuple[desk.NavItem, ...]:
    """What the head of a page offers; the first item an actor may see is where signing in leads."""
    if node.is_county:
        from service.web import county

        return county.NAVIGATION
    if not node.is_hub:
        return (workbench.NAVIGATION, registration.NAVIGATION, opinions.NAVIGATION, reception.NAVIGATION,
                sync_state.NAVIGATION, account_pages.NAVIGATION)  # fmt: skip
    from service.web import hub

    return hub.NAVIGATION


def _next_steps(node: Node) -> tuple[desk.NextStep, ...]:
    """What the page of an opinion offers to do with it."""
    if node.is_county:
        return ()
    if not node.is_hub:
        return steps.NEXT_STEPS
    from service.web import hub

    return (*hub.NEXT_STEPS, *steps.NEXT_STEPS)
