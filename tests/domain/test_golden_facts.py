"""What was written once is read for ever: a sample of every version of every kind, kept in `golden`.

Samples are written by hand and never changed. A new version adds its number with what it writes; the number before
gets a `today`, the fields its upcast should give; `fields` describes today's shape.
"""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.domain import facts as f
from service.domain import upcasts
from service.store import codec
from tests.domain.vocabulary import knowing, made

GOLDEN = Path(__file__).parent / "golden"
Sample = dict[str, Any]


def sample_of(kind: str) -> Sample:
    found: Sample = json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8"))
    return found


def as_bytes(written: Sample) -> bytes:
    """A body exactly as a node writes it."""
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()


def described(shape: type[f.Fact]) -> dict[str, str]:
    """Name, type and default of each field, in order: everything that reading and writing depends on."""
    found = {}
    for field in fields(shape):  # type: ignore[arg-type]
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        found[field.name] = str(field.type) + ("" if default is MISSING else f" = {default!r}")
    return found


def faults(kind: str, sample: Sample) -> list[str]:
    """In what this program differs from the samples of a kind; empty when it reads and writes them as stated."""
    shape = f.REGISTRY[kind]
    newest = str(shape.VERSION)
    found = []
    if sorted(sample["versions"], key=int) != [str(n) for n in range(1, shape.VERSION + 1)]:
        return [f"samples of the versions {list(sample['versions'])}, but today's is {newest}"]
    if described(shape) != sample["fields"]:
        found.append("its fields changed without a new version")
    for version, stated in sample["versions"].items():
        today = stated.get("today", stated["written"])
        try:
            fact = codec.decode(kind, int(version), as_bytes(stated["written"]))
        except codec.UnreadableFact as error:
            found.append(f"version {version}: {error}")
            continue
        if fact is None or codec.encode(fact) != as_bytes(today):
            found.append(f"version {version} is read as another fact than stated")
    return found


@pytest.mark.parametrize("kind", sorted(f.REGISTRY))
def test_every_version_that_was_ever_written_is_read_as_stated(kind: str) -> None:
    assert faults(kind, sample_of(kind)) == []


def test_there_are_samples_for_every_kind_and_no_kind_was_dropped() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == f.REGISTRY.keys()


def test_every_version_up_to_todays_can_be_read() -> None:
    versions = {(kind, n) for kind, shape in f.REGISTRY.items() for n in range(1, shape.VERSION + 1)}
    assert upcasts.known() == versions


# --- that the samples would tell -----------------------------------------------------------------------------------


RATED = {"overall": ("str",), "by": ("str", "citizen"), "attitude": ("str", ""), "reason": ("str", "")}


def rated(version: int = 1, **changed: Any) -> type[f.Fact]:
    """The kind `opinion.rated`, some of its fields changed as somebody might do in a hurry; None removes one."""
    parts = {name: part for name, part in (RATED | changed).items() if part is not None}
    return made("opinion.rated", version, *((name, *part) for name, part in parts.items()))


@pytest.mark.parametrize(
    "changed",
    [
        {"stars": ("int", 0)},
        {"attitude": None},
        {"by": ("str", "deputy")},
        {"overall": ("int",)},
        {"reason": ("str | None", "")},
    ],
    ids=["a field more", "a field less", "another default", "another type", "a wider type"],
)
def test_a_shape_that_was_changed_without_a_new_version_is_found(changed: dict[str, Any]) -> None:
    with knowing(rated()):
        assert faults("opinion.rated", sample_of("opinion.rated")) == []
    with knowing(rated(**changed)):
        assert faults("opinion.rated", sample_of("opinion.rated")) != []


def test_a_new_version_without_a_sample_is_found() -> None:
    with knowing(rated(version=2), steps={("opinion.rated", 1): dict}):
        assert "today's is 2" in faults("opinion.rated", sample_of("opinion.rated"))[0]


# --- upcasts -------------------------------------------------------------------------------------------------------


# A kind in its third version: `stars` became `points` of a hundred, then got a `scale`.
APPRAISED: dict[int, list[Any]] = {
    1: [("stars", "int")],
    2: [("points", "int")],
    3: [("points", "int"), ("scale", "int", 100)],
}


def appraised(version: int) -> type[f.Fact]:
    return made("opinion.appraised", version, *APPRAISED[version])


def to_points(plain: upcasts.Plain) -> upcasts.Plain:
    return {"points": plain["stars"] * 20}


def with_scale(plain: upcasts.Plain) -> upcasts.Plain:
    return plain | {"scale": 100}


STEPS: dict[tuple[str, int], upcasts.Upcast] = {
    ("opinion.appraised", 1): to_points,
    ("opinion.appraised", 2): with_scale,
}


def read(version: int, body: bytes) -> object:
    fact = codec.decode("opinion.appraised", version, body)
    return None if fact is None else msgspec.to_builtins(fact)


def test_a_body_is_lifted_one_version_after_the_other() -> None:
    with knowing(appraised(3), steps=STEPS):
        assert read(1, b'{"stars":4}') == {"points": 80, "scale": 100}
        assert read(2, b'{"points":75}') == {"points": 75, "scale": 100}
        assert read(3, b'{"points":75,"scale":90}') == {"points": 75, "scale": 90}
        assert read(4, b'{"points":75}') is None
        assert {version for kind, version in upcasts.known() if kind == "opinion.appraised"} == {1, 2, 3}


def test_a_version_whose_upcast_is_missing_passes_through_as_unknown() -> None:
    with knowing(appraised(3), steps={("opinion.appraised", 2): with_scale}):
        assert read(1, b'{"stars":4}') is None
        assert read(2, b'{"points":75}') is not None
        assert {version for kind, version in upcasts.known() if kind == "opinion.appraised"} == {2, 3}


@pytest.mark.parametrize("body", [b'{"stars":"\\u738b\\u5c0f\\u660e"}', b"{}", b"[]", b'{"stars":null}', b"not JSON"])
def test_a_body_that_an_upcast_cannot_lift_is_unreadable_and_not_quoted(body: bytes) -> None:
    def strict(plain: upcasts.Plain) -> upcasts.Plain:
        return {"points": int(plain["stars"]) * 20}

    with (
        knowing(appraised(2), steps={("opinion.appraised", 1): strict}),
        pytest.raises(codec.UnreadableFact) as refused,
    ):
        codec.decode("opinion.appraised", 1, body)
    assert "王小明" not in str(refused.value)


def test_an_upcast_is_registered_once() -> None:
    with knowing(steps=STEPS), pytest.raises(ValueError, match=r"opinion\.appraised version 1"):
        upcasts.upcast("opinion.appraised", 1)(to_points)
