"""Samples that would give a broken model are refused; those that fit are used whole, in the artifact's batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import DataError
from edgekit.jobs.protocol import Progress
from edgekit.quantizer.jobs import check_calibration
from edgekit.quantizer.methods.samples import CalibrationBatches
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import QuantizeRequest
from edgekit.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", (None, 3), "float32"),), (TensorSpec("y", (None, 2), "float32"),))
GOOD = np.arange(30, dtype=np.float32).reshape(10, 3)


def with_value(value: float) -> np.ndarray:
    array = GOOD.copy()
    array[4, 1] = value
    return array


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (with_value(np.nan), "not-finite"),
        (with_value(-np.inf), "not-finite"),
        (np.full_like(GOOD, 0.5), "constant-data"),
        (GOOD[:0], "no-calibration-samples"),
        (GOOD.astype(np.float64), "wrong-dtype"),
        (GOOD[:, :2], "wrong-shape"),
    ],
)
def test_unusable_samples_are_refused(array: np.ndarray, code: str) -> None:
    with pytest.raises(DataError) as caught:
        check_calibration(SIGNATURE, {"x": array})
    assert caught.value.code == code


def test_no_samples_and_wrong_names_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        check_calibration(SIGNATURE, {})
    assert caught.value.code == "no-calibration-samples"
    with pytest.raises(DataError) as caught:
        check_calibration(SIGNATURE, {"z": GOOD})
    assert caught.value.code == "wrong-input-names"


def test_inputs_with_different_numbers_of_samples_are_refused() -> None:
    both = Signature((*SIGNATURE.inputs, TensorSpec("mask", (None, 1), "float32")), SIGNATURE.outputs)
    with pytest.raises(DataError) as caught:
        check_calibration(both, {"x": GOOD, "mask": np.ones((9, 1), np.float32)})
    assert caught.value.received == "x: 10, mask: 9"


def test_one_input_may_be_constant() -> None:
    both = Signature((*SIGNATURE.inputs, TensorSpec("mask", (None, 1), "float32")), SIGNATURE.outputs)
    check_calibration(both, {"x": GOOD, "mask": np.ones((10, 1), np.float32)})


def test_any_number_of_samples_fits_an_artifact_with_a_fixed_batch() -> None:
    check_calibration(SIGNATURE.with_batch(4), {"x": GOOD})
    seen: list[Progress] = []
    request = QuantizeRequest(Path(), SIGNATURE.with_batch(4), Path(), {"x": GOOD}, Recipe(), seen.append)
    batches = list(CalibrationBatches(request))
    assert [batch["x"].shape for batch in batches] == [(4, 3)] * 3
    np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in batches])[:10], GOOD)
    np.testing.assert_array_equal(batches[-1]["x"][2:], np.stack([GOOD[-1]] * 2))
    assert seen[-1] == Progress("calibrate", 10, 10)


def test_a_free_batch_is_calibrated_one_sample_at_a_time() -> None:
    request = QuantizeRequest(Path(), SIGNATURE, Path(), {"x": GOOD}, Recipe(), lambda progress: None)
    batches = CalibrationBatches(request)
    assert len(batches) == 10
    assert [batch["x"].shape for batch in batches] == [(1, 3)] * 10


def test_no_more_samples_than_the_recipe_takes_are_drawn_with_its_seed() -> None:
    drawn = []
    for seed in (0, 0, 1):
        recipe = Recipe(samples=4, seed=seed)
        batches = CalibrationBatches(QuantizeRequest(Path(), SIGNATURE, Path(), {"x": GOOD}, recipe, lambda one: None))
        assert (batches.samples, len(batches)) == (4, 4)
        rows = [int(batch["x"][0, 0]) for batch in batches]
        assert len(set(rows)) == 4
        assert set(rows) <= set(GOOD[:, 0].astype(int))
        drawn.append(rows)
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_the_sample_that_is_not_finite_is_named() -> None:
    with pytest.raises(DataError, match="NaN in sample 4"):
        check_calibration(SIGNATURE, {"x": with_value(np.nan)})
