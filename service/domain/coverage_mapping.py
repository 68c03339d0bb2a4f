"""A coverage as the body of a fact, and back: plain JSON values, read by the shapes of the dataclasses themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from service.domain.coverage import Coverage


def coverage_to_mapping(coverage: Coverage) -> dict[str, Any]:
    """Plain JSON values, as a fact's body carries them; `coverage_from_mapping` is the way back."""
    return {field.name: _plain(getattr(coverage, field.name)) for field in fields(coverage)}


def coverage_from_mapping(mapping: Mapping[str, Any]) -> Coverage:
    """A compiled coverage out of a fact's body, figures as published. ValueError when the body does not fit;
    keys that a newer version added are passed over."""
    read = _read(Coverage, mapping)
    assert isinstance(read, Coverage)
    return read


def _plain(value: Any) -> Any:
    """JSON values out of the dataclasses."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return value.value if isinstance(value, StrEnum) else value


@cache
def _hints(shape: type) -> dict[str, Any]:
    return get_type_hints(shape)


def _read(hint: Any, value: Any) -> Any:
    """The value of type `hint` out of JSON values; ValueError where they do not fit. Inverse of `_plain`."""
    options = get_args(hint)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_read(options[0], item) for item in value)
    if NoneType in options:
        return None if value is None else _read(options[0], value)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return _read_dataclass(hint, value)
    if hint is date and isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if hint is float and type(value) is int:
        return float(value)
    if hint not in (str, int, float, bool) or type(value) is not hint:
        raise ValueError(f"{value!r} does not fit {hint}")
    return value


def _read_dataclass(shape: type, mapping: Mapping[str, Any]) -> Any:
    hints = _hints(shape)
    try:
        return shape(**{name: _read(hints[name], value) for name, value in mapping.items() if name in hints})
    except TypeError as error:  # a key without a default is missing
        raise ValueError(f"{shape.__name__}: {error}") from error
