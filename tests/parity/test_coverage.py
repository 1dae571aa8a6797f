"""How much of what an input is known to hold some samples reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.parity import coverage
from edgekit.parity.coverage import beyond, covered, joined, ranges

Array = NDArray[Any]


def test_ranges_are_those_of_finite_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "BLOCK_ELEMENTS", 4)
    x = np.array([[0.5, np.nan], [-2.0, np.inf], [3.0, 1.0]], np.float32)
    arrays: dict[str, Array] = {
        "x": x,
        "ids": np.arange(3),
        "none": np.full((2, 1), np.nan, np.float32),
        "empty": np.zeros((0, 2)),
    }
    assert ranges(arrays) == {"x": (-2.0, 3.0)}


def test_ranges_of_several_sets_are_joined() -> None:
    assert joined({"x": (0.0, 1.0)}, {"x": (-1.0, 0.5), "y": (2.0, 3.0)}) == {"x": (-1.0, 1.0), "y": (2.0, 3.0)}


def test_the_input_that_is_covered_least_decides() -> None:
    known = {"x": (0.0, 10.0), "y": (-1.0, 1.0)}
    assert covered({"x": (0.0, 8.0), "y": (-0.5, 0.5)}, known) == pytest.approx(0.5)
    assert covered({"x": (20.0, 30.0), "y": (-1.0, 1.0)}, known) == 0.0
    assert covered({"x": (-5.0, 5.0)}, known) == pytest.approx(0.5)  # what lies outside does not count


def test_nothing_is_said_where_nothing_wider_is_known() -> None:
    assert covered({"x": (0.0, 1.0)}, {}) is None
    assert covered({"x": (0.0, 1.0)}, {"y": (0.0, 9.0)}) is None
    assert covered({"x": (0.0, 1.0)}, {"x": (0.2, 0.8)}) is None
    assert covered({"x": (0.0, 1.0)}, {"x": (3.0, 3.0)}) is None


def test_samples_of_another_scale_are_named() -> None:
    known = {"image": (0.0, 1.0), "sound": (-1.0, 1.0)}
    assert beyond({"image": (0.0, 1.2), "sound": (-2.5, 1.0)}, known) == ()
    (sentence,) = beyond({"image": (0.0, 255.0), "sound": (-1.0, 1.0)}, known)
    assert sentence.startswith("input image spans 0 to 255 here and 0 to 1 in the samples of export and calibration")
