"""Facts to bytes and back: every kind there is, and what is done with bytes that are none of ours."""

import string
from contextlib import suppress
from dataclasses import fields
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.domain import facts as f
from service.store import codec
from service.store.codec import UnreadableFact

WORDS = st.text(max_size=30)
# What a field may hold, by its annotation; a new kind of field needs a line here before it can travel.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": WORDS,
    "str | None": st.none() | WORDS,
    "int": st.integers(-(2**53), 2**53),
    "int | None": st.none() | st.integers(0, 10**6),
    "float | None": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "bool | None": st.none() | st.booleans(),
    "date": st.dates(),
    "date | None": st.none() | st.dates(),
    "tuple[str, ...]": st.lists(WORDS, max_size=4).map(tuple),
    "dict[str, str]": st.dictionaries(st.text(string.ascii_letters, min_size=1), WORDS, max_size=3),
    "dict[str, Any]": st.dictionaries(WORDS, st.none() | WORDS | st.integers(0, 9) | st.lists(WORDS), max_size=3),
}
KINDS = sorted((kind, shape.VERSION) for kind, shape in f.REGISTRY.items())


def some(shape: type[f.Fact]) -> st.SearchStrategy[f.Fact]:
    return st.builds(shape, **{field.name: VALUES[str(field.type)] for field in fields(shape)})  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "version"), KINDS)
def test_a_fact_comes_back_as_it_went(kind: str, version: int) -> None:
    @settings(max_examples=25)
    @given(fact=some(f.REGISTRY[kind]))
    def goes_and_comes_back(fact: f.Fact) -> None:
        body = codec.encode(fact)
        assert codec.decode(kind, version, body) == fact
        assert codec.encode(codec.decode(kind, version, body) or fact) == body

    goes_and_comes_back()


@pytest.mark.parametrize(("kind", "version"), KINDS)
def test_fields_that_a_newer_node_added_do_not_disturb(kind: str, version: int) -> None:
    shape = f.REGISTRY[kind]

    @settings(max_examples=25)
    @given(fact=some(shape))
    def is_read_all_the_same(fact: f.Fact) -> None:
        plain = msgspec.json.decode(codec.encode(fact))
        assert codec.decode(kind, version, msgspec.json.encode(plain | {"added_later": [1, {"x": None}]})) == fact

    is_read_all_the_same()


@given(body=st.binary(max_size=200))
@example(body=b'{"terms":' + b'{"a":' * 5000 + b"1" + b"}" * 5001)
@example(body=b'{"note":"\xff\xfe"}')
@example(body=b'{"note":"\\ud800"}')
def test_any_bytes_are_a_fact_or_unreadable(body: bytes) -> None:
    for kind, version in KINDS:
        with suppress(UnreadableFact):
            assert isinstance(codec.decode(kind, version, body), f.REGISTRY[kind])


def test_a_kind_or_version_nobody_told_us_of_is_none() -> None:
    assert codec.decode("opinion.appraised", 1, b"{}") is None
    assert codec.decode("opinion.closed", 99, b"not even JSON") is None


def test_the_words_of_an_unreadable_fact_are_not_in_its_error() -> None:
    with pytest.raises(UnreadableFact) as refused:
        codec.decode("opinion.closed", 1, '{"note": 7, "x": "群众王小明"}'.encode())
    assert "王小明" not in str(refused.value)


def test_dates_are_written_as_people_write_them() -> None:
    fact = f.SolvedLater(proof="照片", solved_on=date(2026, 11, 16))
    assert codec.encode(fact).decode() == '{"proof":"照片","solved_on":"2026-11-16"}'
