"""The JSON form of frozen dataclasses. Part of the device core.

Decoding is driven by annotations and strict: an unknown field, a missing field or a wrong type is an error,
so that two versions of edgekit never misread each other.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from functools import cache
from typing import Any, Literal, TypeVar, Union

from edgekit.errors import InternalError

T = TypeVar("T")

#: What ``Optional[X]`` and, from Python 3.10 on, ``X | None`` evaluate to.
_UNIONS = (Union, getattr(types, "UnionType", Union))


def to_json(value: Any) -> Any:
    """Lists, dicts, strings, numbers and None for a dataclass. Numbers that are not finite become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise InternalError("not-json", f"{type(value).__name__} has no JSON form.", hint="Report this as a bug.")


def from_json(kind: type[T], data: Any) -> T:
    """The inverse of `to_json` for an annotated type.

    Raises:
        InternalError: the data does not fit the type.
    """
    return typing.cast(T, _decode(kind, data, getattr(kind, "__name__", str(kind))))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, data: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if origin in _UNIONS:
        return None if data is None else _decode(next(arg for arg in args if arg is not type(None)), data, where)
    if origin is Literal:
        return data if data in args else _refuse(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list):
            _refuse(kind, data, where)
        return tuple(_decode(args[0], item, f"{where}[{index}]") for index, item in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict):
            _refuse(kind, data, where)
        return {key: _decode(args[1], item, f"{where}.{key}") for key, item in data.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, data, where)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        _refuse(kind, data, where)
    return data


def _decode_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        _refuse(kind, data, where)
    names = {field.name for field in dataclasses.fields(kind)}
    required = {field.name for field in dataclasses.fields(kind) if not _has_default(field)}
    if not required <= set(data) <= names:
        _refuse(kind, sorted(data), where, f"fields {sorted(names)}")
    hints = _hints(kind)
    return kind(**{key: _decode(hints[key], item, f"{where}.{key}") for key, item in data.items()})


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _refuse(kind: Any, data: Any, where: str, expected: str = "") -> Any:
    raise InternalError(
        "bad-message",
        f"{where} should be {expected or getattr(kind, '__name__', kind)}.",
        received=repr(data)[:200],
        hint="The file or message was written by another version of edgekit: make it again with this one.",
    )
