"""Chinese first, English by choice. Message ids are the Chinese texts themselves; a cookie remembers the choice."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, redirect, request, url_for
from flask_babel import Babel

from service.web import desk
from service.web.auth import local_path

COOKIE = "language"
LANGUAGES = {"zh": "中文", "en": "English"}
HTML_LANG = {"zh": "zh-CN", "en": "en"}
A_YEAR_S = 365 * 24 * 3600
TIME_ZONE = "Asia/Shanghai"
# Two catalogues, so that the hub's pages bring their own.
DIRECTORIES = "translations;translations/hub"

pages = Blueprint("language", __name__)


def set_up(app: Flask) -> None:
    Babel(app, default_locale="zh", default_timezone=TIME_ZONE, locale_selector=chosen,
          default_translation_directories=DIRECTORIES)  # fmt: skip


def chosen() -> str:
    """The language of this request: the cookie's, else the node's."""
    wanted = request.cookies.get(COOKIE, "")
    return wanted if wanted in LANGUAGES else desk.node().settings.language


@pages.get("/language/<code>")
def switch(code: str) -> Response:
    """Remember the language and go back to where the link stood."""
    answer = redirect(local_path(request.args.get("next", "")) or url_for("auth.start"))
    if code in LANGUAGES:
        answer.set_cookie(COOKIE, code, max_age=A_YEAR_S, httponly=True, samesite="Lax",
                          secure=desk.node().settings.https)  # fmt: skip
    return answer  # type: ignore[return-value]
