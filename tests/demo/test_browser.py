"""The browser without a screen sends what a browser would, and refuses what a page does not offer."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from service.demo.browser import Browser, NotOffered

PAGE = """<!doctype html><title>t</title><style>p { color: red }</style><a href="/next">next</a>
<form method="post" action="/send"><input type="hidden" name="csrf_token" value="c&amp;1">
<input name="title"><textarea name="body">
two
lines</textarea>
<select name="area"><option value="a1">A</option><option value="a2" selected>B</option></select>
<select name="kind"><option value="k1">K</option><option value="k2">L</option></select>
<input type="radio" name="way" value="phone" checked><input type="radio" name="way" value="face">
<input type="checkbox" name="units" value="u1" checked><input type="checkbox" name="units" value="u2">
<button name="go" value="yes">Go</button></form>"""


class _Site(BaseHTTPRequestHandler):
    sent: dict[str, list[str]]

    def do_GET(self) -> None:
        self._answer(PAGE)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        type(self).sent = parse_qs(body, keep_blank_values=True)
        self._answer("<p>thanks</p>")

    def _answer(self, html: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(html.encode())

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def browser() -> Iterator[Browser]:
    with HTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Browser(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_it_sends_what_stands_in_the_form_and_what_was_typed(browser: Browser) -> None:
    page = browser.open("/")
    assert browser.send(page.form("/send"), title="沟", way="face", units=["u1", "u2"]).text == "thanks"
    assert _Site.sent == {
        "csrf_token": ["c&1"], "title": ["沟"], "body": ["two\nlines"], "area": ["a2"], "kind": ["k1"],
        "way": ["face"], "units": ["u1", "u2"],
    }  # fmt: skip


@pytest.mark.parametrize("typed", [{"unknown": "x"}, {"area": "a9"}, {"way": "sms"}])
def test_it_refuses_fields_and_choices_that_the_page_does_not_have(browser: Browser, typed: dict[str, str]) -> None:
    with pytest.raises(NotOffered):
        browser.send(browser.open("/").form("/send"), **typed)


def test_it_reads_what_a_person_sees(browser: Browser) -> None:
    page = browser.open("/")
    assert "color" not in page.text
    assert page.link("/next").endswith("/next")
    with pytest.raises(NotOffered):
        page.form("/other")
