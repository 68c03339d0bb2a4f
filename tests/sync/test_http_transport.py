"""What really sits on a village's line, over real sockets: named, bounded, and never taken for the peer."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sync.errors import (
    AnswerCut,
    CaptivePortal,
    CounterTooLow,
    PeerBusy,
    PeerFailed,
    SyncError,
    TimedOut,
    TlsFailed,
    TooLarge,
    UnexpectedAnswer,
    Unreachable,
    encode_error,
)
from sync.testing import Lab, draft, refused
from sync.transport import HttpTransport
from sync.wire import CONTENT_TYPE

Respond = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(respond: Respond, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A loopback server that answers every POST this way; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            respond(self)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(status: int, body: bytes, kind: str = CONTENT_TYPE, length: int | None = None, **headers: str) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return respond


def post(url: str, **settings: float) -> bytes:
    with closing(HttpTransport(url, **{"connect_s": 2, "read_s": 2, "total_s": 3, **settings})) as line:  # type: ignore[arg-type]
        return line.post("hello", b"question")


def test_the_peers_answer_is_its_body() -> None:
    with serving(reply(200, b"answer", kind=f"{CONTENT_TYPE}; v=1")) as url:
        assert post(url + "/") == b"answer"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, CaptivePortal), (204, CaptivePortal), (302, CaptivePortal), (511, PeerFailed), (403, UnexpectedAnswer),
        (404, UnexpectedAnswer), (408, TimedOut), (413, TooLarge), (429, PeerBusy), (500, PeerFailed),
        (502, PeerFailed), (503, PeerBusy), (504, TimedOut),
    ],
)  # fmt: skip
def test_a_strangers_answer_is_named_by_its_status(status: int, expected: type[SyncError]) -> None:
    html = b"" if status == 204 else b"<html>login</html>"
    with serving(reply(status, html, "text/html", Location="http://x/")) as url, refused(expected):
        post(url)


def test_a_busy_proxy_may_say_when_to_come_back() -> None:
    with serving(reply(503, b"", "text/plain", Retry_After="90")) as url, refused(PeerBusy) as caught:
        post(url)
    assert caught[0].data["wait_s"] == 90


def test_the_peers_refusal_keeps_its_name_and_data() -> None:
    with serving(reply(409, encode_error(CounterTooLow(seen=12)))) as url, refused(CounterTooLow) as caught:
        post(url)
    assert caught[0].data == {"seen": 12}


def test_a_refusal_that_cannot_be_read_is_a_damaged_answer() -> None:
    with serving(reply(409, b"\xff\xff")) as url, refused(AnswerCut):
        post(url)


def test_an_answer_cut_short() -> None:
    with serving(reply(200, b"half", length=8)) as url, refused(AnswerCut):
        post(url)


def test_an_answer_with_damaged_compression() -> None:
    with serving(reply(200, b"no gzip", Content_Encoding="gzip")) as url, refused(AnswerCut):
        post(url)


def chunked(*parts: bytes) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(200)
        handler.send_header("Content-Type", CONTENT_TYPE)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.close_connection = True

    return respond


def test_an_answer_in_chunks_is_read_to_its_end() -> None:
    with serving(chunked(b"one ", b"two ", b"x" * 200_000, b"")) as url:
        assert post(url) == b"one two " + b"x" * 200_000


def test_an_answer_in_chunks_without_its_last_is_cut() -> None:
    with serving(chunked(b"one ", b"two ")) as url, refused(AnswerCut):
        post(url)


def test_an_answer_without_end_is_cut_at_the_ceiling() -> None:
    with serving(reply(200, bytes(300_000))) as url, refused(TooLarge):
        post(url, answer_bytes_max=100_000)


def test_nobody_listens() -> None:
    with closing(socket.socket()) as port:
        port.bind(("127.0.0.1", 0))
        with refused(Unreachable):
            post(f"http://127.0.0.1:{port.getsockname()[1]}")


def test_no_such_name() -> None:
    with refused(Unreachable):
        post("http://hub.invalid")


def test_a_server_that_stays_silent() -> None:
    silence = threading.Event()
    with serving(lambda handler: silence.wait(5) and None) as url:
        with refused(TimedOut):
            post(url, read_s=0.2)
        silence.set()


def test_a_server_that_answers_drop_by_drop() -> None:
    done = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", CONTENT_TYPE)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not done.wait(0.05):
            handler.wfile.write(b".")
            handler.wfile.flush()

    with serving(drip) as url:
        try:
            with refused(TimedOut):
                post(url, total_s=0.4, read_s=0.3)
        finally:
            done.set()


def test_a_server_that_speaks_no_tls() -> None:
    with serving(reply(200, b"x")) as url, refused(TlsFailed) as caught:
        post(url.replace("http:", "https:"))
    assert not caught[0].retry


def certificate(folder: Path, valid: tuple[timedelta, timedelta]) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is valid from and until these spans from now, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now + valid[0]).not_valid_after(now + valid[1])
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )  # fmt: skip
    files = folder / "hub.pem", folder / "hub.key"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@pytest.mark.parametrize("days", [(-30, -1), (1, 30), (-1, 30)], ids=["clock ahead", "clock behind", "clock right"])
def test_a_certificate_that_the_clock_does_not_fit_names_the_clock(tmp_path: Path, days: tuple[int, int]) -> None:
    """Which of the two is wrong nobody can know; a village PC's clock is the first thing to look at."""
    files = certificate(tmp_path, (timedelta(days=days[0]), timedelta(days=days[1])))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with serving(reply(200, b"answer"), context) as url, closing(HttpTransport(url, ca_file=str(files[0]))) as line:
        if days[0] < 0 < days[1]:
            assert line.post("hello", b"question") == b"answer"
            return
        with refused(TlsFailed) as caught:
            line.post("hello", b"question")
    assert not caught[0].retry
    assert "date and time" in caught[0].hint


def test_a_whole_exchange_over_a_real_socket(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    station.record("t/s/a", *(draft(f"note/{n}") for n in range(200)))
    hub.record("t/pub", draft("policy/town"))

    def respond(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        try:
            status, answer = 200, hub.responder.answer(handler.path.rsplit("/", 1)[1], body)
        except SyncError as error:
            status, answer = error.status, encode_error(error)
        handler.send_response(status)
        handler.send_header("Content-Type", CONTENT_TYPE)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    with serving(respond) as url, closing(HttpTransport(url)) as line:
        report = station.exchange(hub, line)
    assert (report.pushed, report.pulled, report.verified) == (200, 1, True)


def test_a_server_that_takes_nothing_in_is_slow_and_not_away() -> None:
    with closing(socket.socket()) as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with closing(HttpTransport(f"http://127.0.0.1:{deaf.getsockname()[1]}", connect_s=0.3, read_s=0.3)) as line:
            with refused(TimedOut):
                line.post("push", bytes(16 * 1024 * 1024))
