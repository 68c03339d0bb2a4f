"""Stored bytes, digests and the chain: what every node on every version computes alike."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import MalformedEvent, SyncError, by_code, decode_error, encode_error
from sync.events import (
    EventDraft,
    Origin,
    Scope,
    Stream,
    Subject,
    body_digest,
    chain_next,
    chain_start,
    check_header,
    contains,
    encode_header,
    event_id,
    from_us,
    to_us,
)
from sync.testing import draft, refused

STREAM = Stream(Origin("0123456789abcdef", "fedcba9876543210"), Scope("445222113/s/qd"))


def test_the_bytes_of_an_event_never_change() -> None:
    """Golden values: a change here breaks every ledger there is."""
    header = encode_header(draft("opinion/1", "下水道堵了", once="k"), 7)
    digest = body_digest(bytes(range(16)), b'{"text": "x"}')
    assert header.hex() == ("97cf0000000000000007a56e6f74656401a96f70696e696f6e2f31cf00064c05f937e000a5636c65726ba16b")
    assert digest == sha256(bytes(range(16)) + b'{"text": "x"}').digest()
    assert event_id(header, digest).hex() == sha256(header[10:] + digest).hexdigest()[:32]
    assert chain_start(STREAM) == sha256(b"lianxin/stream/1\0" + str(STREAM).encode()).digest()
    length = len(header).to_bytes(4, "big")
    assert chain_next(bytes(32), header, digest) == sha256(bytes(32) + length + header + digest).digest()


def test_the_id_of_a_fact_does_not_depend_on_its_lamport_number() -> None:
    digest = body_digest(bytes(16), b"{}")
    assert event_id(encode_header(draft(), 1), digest) == event_id(encode_header(draft(), 2**40), digest)


def test_a_header_with_fields_of_a_later_version_is_read() -> None:
    header = encode_header(draft(kind="noted"), 3)
    longer = bytes([header[0] + 1]) + header[1:] + b"\xa3new"
    assert check_header(longer) == check_header(header)


def test_scopes_contain_by_whole_segments() -> None:
    assert contains("t1", "t1")
    assert contains("t1", "t1/s/a")
    assert not contains("t1", "t10")
    assert not contains("t1/s", "t1")


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_survive_exactly(instant: datetime) -> None:
    assert from_us(to_us(instant)) == instant


def test_an_instant_of_another_zone_is_the_same_instant() -> None:
    beijing = datetime(2026, 3, 2, 16, 0, tzinfo=timezone(timedelta(hours=8)))
    assert from_us(to_us(beijing)) == datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "no-slash"}, {"subject": "UPPER/1"}, {"subject": "note/" + "x" * 200}, {"subject": "note/\x00"},
        {"subject": "note/二"}, {"kind": ""}, {"kind": "a\nb"}, {"author": ""}, {"once": ""}, {"version": -1},
        {"body": b"\xff"}, {"body": b"{"}, {"body": b'"\xed\xa0\x80"'},
        {"occurred_at": datetime(2026, 3, 2)},  # noqa: DTZ001 - naive on purpose
    ],
)  # fmt: skip
def test_what_no_peer_would_accept_cannot_be_recorded(change: dict[str, object]) -> None:
    good: dict[str, object] = {
        "kind": "noted", "version": 1, "subject": Subject("note/1"), "body": b"{}",
        "occurred_at": datetime(2026, 3, 2, tzinfo=UTC), "author": "clerk",
    }  # fmt: skip
    with pytest.raises(ValueError):
        EventDraft(**good | change)  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_any_bytes_as_a_header_are_read_or_refused(header: bytes) -> None:
    for candidate in (header, b"\x97\xcf" + header):
        with suppress(MalformedEvent):
            assert check_header(candidate).lamport > 0


@pytest.mark.parametrize("text", ["", "/", "a//b", "a/", "A", "a b", "x" * 121])
def test_odd_scopes_are_no_streams(text: str) -> None:
    with pytest.raises(ValueError):
        Stream(STREAM.origin, Scope(text))


def every_error(root: type[SyncError] = SyncError) -> list[type[SyncError]]:
    return [root, *(error for child in root.__subclasses__() for error in every_error(child))]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
def test_every_error_answers_what_to_do(error: type[SyncError]) -> None:
    import sync.errors

    assert error.__name__ in (sync.errors.__doc__ or "")
    assert error.hint.endswith(".")
    assert 400 <= error.status < 600
    assert by_code(error.code) is error
    assert str(error("k")) if error.__name__ == "AlreadyRecorded" else str(error(seq=1)).endswith("(seq=1)")


def test_refusals_travel_by_name() -> None:
    with refused(SyncError) as caught:
        raise decode_error(encode_error(MalformedEvent(fault="size", seq=3)))
    assert (type(caught[0]), caught[0].data) == (MalformedEvent, {"fault": "size", "seq": 3})
    assert decode_error(b"\x92\xa7unheard\x80").code == "refused_by_peer"
