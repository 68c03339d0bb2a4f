"""Headers and cookies: nothing from elsewhere, nothing inline, nothing framed, nothing left in a shared PC's cache."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_wtf import CSRFProtect

from service.web import desk
from sync.wire import CONTENT_TYPE as SYNC_TYPE

# Pictures may be data: URIs, because the QR code and Bootstrap's own arrows are; scripts and styles may not.
CSP = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
HSTS = "max-age=31536000"


def set_up(app: Flask) -> CSRFProtect:
    """Gives the CSRF guard, so that what uses no cookies can be exempted from it."""
    https = desk.of(app).node.settings.https
    app.config.update(
        SESSION_COOKIE_NAME="lianxin", SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=https,
        WTF_CSRF_TIME_LIMIT=None,  # lives as long as the session: a form may lie open over lunch
        # A page of a tracking code sends no referrer, and the token says all that is needed.
        WTF_CSRF_SSL_STRICT=False,
    )  # fmt: skip
    app.after_request(_add_headers)
    return CSRFProtect(app)


def _add_headers(response: Response) -> Response:
    if response.mimetype == SYNC_TYPE:
        return response  # no browser reads it, and an idle exchange over a weak line pays for every byte
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if desk.node().settings.https:
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    if request.endpoint not in ("static", "bootstrap.static"):
        response.headers["Cache-Control"] = "no-store"  # also after sign-out, "back" must show nothing
    return response
