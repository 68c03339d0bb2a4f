"""Comparing heads, apart from any database."""

from hypothesis import given
from hypothesis import strategies as st

from sync.events import Origin, Scope, Stream
from sync.positions import Heads, Position, Range, before_held, behind, digest, merge

STREAMS = [Stream(Origin(f"{n:016x}", "0" * 16), Scope(f"t/{n}")) for n in range(4)]
heads = st.dictionaries(
    st.sampled_from(STREAMS), st.builds(Position, st.integers(1, 9), st.binary(min_size=32, max_size=32))
)


@given(heads, heads)
def test_sending_what_is_behind_brings_both_to_the_furthest(theirs: Heads, ours: Heads) -> None:
    reached = theirs | {part.stream: ours[part.stream] for part in behind(theirs, ours)}
    assert {s: head.seq for s, head in reached.items()} == {s: head.seq for s, head in merge(theirs, ours).items()}
    assert not behind(reached, ours)


@given(heads, heads)
def test_digests_are_equal_exactly_when_heads_are(one: Heads, other: Heads) -> None:
    assert (digest(one) == digest(other)) == (one == other)
    assert digest(one) == digest(dict(reversed(one.items())))


def test_ranges_continue_behind_the_stated_head() -> None:
    ours = {STREAMS[0]: Position(9, b"")}
    assert behind({STREAMS[0]: Position(4, b"")}, ours) == [Range(STREAMS[0], 5, 9)]
    assert behind({}, ours) == [Range(STREAMS[0], 1, 9)]


def test_what_waits_behind_a_gap_is_left_out() -> None:
    lacking = [Range(STREAMS[0], 1, 20), Range(STREAMS[1], 1, 20)]
    held = [Range(STREAMS[0], 12, 20), Range(STREAMS[0], 6, 8), Range(STREAMS[2], 2, 3)]
    assert before_held(lacking, held) == [Range(STREAMS[0], 1, 5), Range(STREAMS[1], 1, 20)]
    assert before_held(lacking, [Range(STREAMS[0], 1, 20)]) == lacking
