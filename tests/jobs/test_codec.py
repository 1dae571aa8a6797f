"""Messages and results survive the way through JSON, and what does not fit is refused."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InternalError
from edgekit.jobs.codec import from_json, to_json
from edgekit.types import Blob, Signature, TensorSpec


@dataclass(frozen=True)
class Spelled:
    """The same two fields in both spellings of a union with None, and the nested kinds."""

    classic: Optional[int]  # noqa: UP045 the spelling is the test
    modern: int | None
    blob: Blob | None = None
    shares: dict[str, float | None] | None = None
    how: Literal["a", "b"] = "a"


LENGTHS = st.one_of(st.none(), st.integers(1, 9))
SPECS = st.builds(TensorSpec, st.text(max_size=5), st.lists(LENGTHS, max_size=3).map(tuple), st.just("float32"))
SIGNATURES = st.builds(Signature, st.lists(SPECS).map(tuple), st.lists(SPECS).map(tuple))


def through_json(value: Any) -> Any:
    return from_json(type(value), json.loads(json.dumps(to_json(value))))


@given(SIGNATURES)
def test_signatures_survive(signature: Signature) -> None:
    assert through_json(signature) == signature


@pytest.mark.parametrize(
    "value",
    [
        Spelled(1, 2, Blob("ab", "x.npy", 3), {"x": 0.5, "y": None}, "b"),
        Spelled(None, None),
    ],
)
def test_both_spellings_of_optional_survive(value: Spelled) -> None:
    assert through_json(value) == value


def test_an_integer_is_a_float_and_infinity_is_none() -> None:
    got = from_json(Spelled, {"classic": 1, "modern": 2, "shares": {"x": 1}})
    assert got.shares is not None
    assert isinstance(got.shares["x"], float)
    assert to_json({"x": math.inf, "y": math.nan}) == {"x": None, "y": None}


@pytest.mark.parametrize(
    "data",
    [
        {"classic": 1},  # a missing field
        {"classic": 1, "modern": 2, "new": 3},  # an unknown field
        {"classic": 1, "modern": "2"},  # a wrong type behind X | None
        {"classic": True, "modern": 2},  # a truth value is no number
        {"classic": 1, "modern": 2, "how": "c"},
        {"classic": 1, "modern": 2, "blob": {"sha256": "ab", "name": "x"}},
        {"classic": 1, "modern": 2, "shares": [0.5]},
        [1, 2],
    ],
)
def test_what_does_not_fit_is_refused(data: object) -> None:
    with pytest.raises(InternalError) as caught:
        from_json(Spelled, data)
    assert caught.value.code == "bad-message"


def test_an_object_without_a_json_form_is_refused() -> None:
    with pytest.raises(InternalError, match="has no JSON form"):
        to_json({"x": object()})
