"""Samples that do not stand for the data: too few, of another range or scale, or with labels unknown to the source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import DataError
from edgekit.exporter.scale import Scale
from edgekit.kit import Kit
from edgekit.parity.evaluate import Reference
from edgekit.quantizer.ranges import calibration_warnings, known_inputs, refuse_chance, scale_warnings
from edgekit.types import Blob, Origin, Signature, TensorSpec

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 17, (200, 8, 8, 1)).astype(np.float32) / 16


def test_calibration_that_covers_the_evaluation_gives_no_warning() -> None:
    assert calibration_warnings({"image": PIXELS}, {"image": PIXELS[:50]}, 200) == ()


def test_too_few_samples_are_counted() -> None:
    (warning,) = calibration_warnings({"image": PIXELS[:20]}, {"image": PIXELS[:20]}, 300)
    assert warning == "calibration has 20 samples, and the recipe takes up to 300."


def test_values_outside_the_calibration_are_counted_by_input() -> None:
    evaluation = PIXELS[:100].copy()
    evaluation[:10] *= 3
    outside = (evaluation > 1).mean()
    (warning,) = calibration_warnings(
        {"image": PIXELS, "mask": PIXELS}, {"image": evaluation, "mask": PIXELS[:100]}, 200
    )
    assert warning == (
        f"{outside:.1%} of the evaluation values of image lie outside the range of calibration, 0 to 1: "
        "they reach from 0 to 3."
    )


def test_a_single_wild_value_is_no_warning() -> None:
    evaluation = PIXELS.copy()
    evaluation[0, 0, 0, 0] = 5
    assert calibration_warnings({"image": PIXELS}, {"image": evaluation}, 200) == ()


@pytest.mark.parametrize("factor", [255.0, 16.0, 1 / 255])
def test_samples_scaled_otherwise_than_at_the_export_are_refused(factor: float) -> None:
    with pytest.raises(DataError, match="as those that the source was exported with") as caught:
        scale_warnings({"image": PIXELS * np.float32(factor)}, {"image": PIXELS[:32]})
    assert caught.value.code == "wrong-scale"
    assert f"image from 0 to {factor:.4g}" in (caught.value.received or "")


def test_standardised_samples_are_told_and_their_like_are_not() -> None:
    assert scale_warnings({"image": PIXELS}, {"image": PIXELS[:32]}) == ()
    (warning,) = scale_warnings({"image": (PIXELS - 0.5) / 0.25}, {"image": PIXELS[:32]})
    assert "4" in warning
    assert "image from -2 to 2, but 0 to 1 at the export" in warning


def test_wild_values_do_not_hide_the_scale() -> None:
    wild = PIXELS.copy()
    wild[:5] *= 1000
    assert scale_warnings({"image": wild}, {"image": PIXELS[:32]}) == ()


def test_integer_inputs_have_no_scale() -> None:
    assert scale_warnings({"ids": np.arange(10)[:, None]}, None) == ()


def test_what_layers_saw_in_training_refuses_another_scale() -> None:
    with pytest.raises(DataError, match="at the layer stem/bn spreads 201 times as wide as in training"):
        scale_warnings({"image": PIXELS}, None, Scale("stem/bn", 201.0))
    assert scale_warnings({"image": PIXELS}, None, Scale("stem/bn", 1.3)) == ()


def test_it_is_said_when_nothing_tells_the_scale() -> None:
    for layers in (None, Scale()):
        (warning,) = scale_warnings({"image": PIXELS}, None, layers)
        assert "nothing tells the scale that image should have" in warning


def test_a_kit_knows_the_real_inputs_of_its_export(digits_kit: Path) -> None:
    kit = Kit.open(digits_kit)
    known = known_inputs(kit)
    assert known is not None
    assert scale_warnings(known, known) == ()
    with pytest.raises(DataError, match="times as wide"):
        scale_warnings({name: array * np.float32(255) for name, array in known.items()}, known)


def reference(tmp_path: Path, answers: np.ndarray, labels: np.ndarray | None, origin: Origin = "real") -> Reference:
    """A source that gives these answers."""
    path = tmp_path / "scores.npy"
    np.save(path, np.eye(10, dtype=np.float32)[answers])
    signature = Signature((TensorSpec("image", (None, 8, 8, 1), "float32"),), ())
    inputs: Mapping[str, Blob] = {}
    return Reference(signature, inputs, {"scores": path}, {}, {}, origin, labels)


def test_a_source_at_chance_is_refused_with_the_numbers(tmp_path: Path) -> None:
    labels = RNG.integers(0, 10, 300)
    with pytest.raises(DataError, match="at chance on these samples") as caught:
        refuse_chance(reference(tmp_path, RNG.integers(0, 10, 300), labels))
    assert caught.value.code == "source-at-chance"


@pytest.mark.parametrize("count", [30, 300])
def test_a_source_that_knows_something_passes(count: int, tmp_path: Path) -> None:
    labels = RNG.integers(0, 10, count)
    answers = np.where(RNG.random(count) < 0.5, labels, RNG.integers(0, 10, count))
    refuse_chance(reference(tmp_path, answers, labels))


def test_what_cannot_show_chance_passes(tmp_path: Path) -> None:
    labels = np.arange(300) % 10
    refuse_chance(reference(tmp_path, np.full(300, 3), None))
    refuse_chance(reference(tmp_path, np.full(20, 3), labels[:20]))
    refuse_chance(reference(tmp_path, np.full(300, 3), labels, "generated"))
    refuse_chance(reference(tmp_path, np.full(300, 3), np.zeros(300, int)))
    refuse_chance(reference(tmp_path, np.full(300, 3), labels / 10))
