"""`edgekit.quantize` as a function: what it reads, and what it refuses before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, UsageError
from edgekit.kit import Kit
from edgekit.quantizer.quantize import QuantizeOptions, planned, read_data
from edgekit.selection import select
from edgekit.workbench import workbench
from tests.cli.command import copied


def test_a_third_is_set_aside_and_takes_no_part_in_calibration(digits: Path, digits_kit: Path) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with workbench() as bench:
        data = digits / "train.npz"
        calibration, evaluation = read_data(data, None, "label", signature, bench, calibrate=True)
        assert calibration is not None
        assert evaluation is not None
        with np.load(data) as arrays:
            assert len(calibration) + len(evaluation) == len(arrays["image"])
        assert abs(len(evaluation) - len(calibration) / 2) <= 1
        seen = {image.tobytes() for image in calibration.load()["image"]}
        assert not seen & {image.tobytes() for image in evaluation.load()["image"]}
        assert evaluation.load_labels() is not None


def test_all_data_calibrate_where_evaluation_has_its_own(digits: Path, digits_kit: Path) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with workbench() as bench:
        files = (digits / "train.npz", digits / "test.npz")
        calibration, evaluation = read_data(*files, "label", signature, bench, calibrate=True)
        assert calibration is not None
        assert evaluation is not None
        for samples, file in zip((calibration, evaluation), files, strict=True):
            with np.load(file) as arrays:
                assert len(samples) == len(arrays["image"])
        assert list(calibration.arrays) == ["image"]
        assert calibration.labels is None


def test_without_calibration_all_data_evaluate(digits: Path, digits_kit: Path) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with workbench() as bench:
        calibration, evaluation = read_data(digits / "test.npz", None, "label", signature, bench, calibrate=False)
        assert calibration is None
        assert evaluation is not None
        assert len(evaluation) == 719


def test_the_loss_of_accuracy_that_is_accepted_is_a_bound(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    """With the answers of the source as labels, it is right every time, and any other artifact can only lose."""
    kit = copied(digits_kit, tmp_path)
    with np.load(digits / "test.npz") as arrays:
        images = arrays["image"][:200]
    with edgekit.load(kit, target="onnx", precision="fp32") as model:
        answers = model.predict({"image": images})["probs"].argmax(axis=1)
    np.savez(tmp_path / "data.npz", image=images, label=answers)
    made = edgekit.quantize(
        kit, tmp_path / "data.npz", precision="fp16", target="openvino", labels="label", max_drop=0.5
    )
    (row,) = made.artifacts
    assert row.accuracy is not None
    assert row.accuracy.source_value == 1.0
    assert row.accuracy.drop <= 0.01
    assert row.verdict == "verified"


def test_a_file_outside_a_kit_has_no_source_to_compare_with(twin_onnx: Path) -> None:
    with pytest.raises(UsageError) as error:
        edgekit.quantize(twin_onnx, precision="fp16")
    assert error.value.code == "not-in-a-kit"
    assert "edgekit export" in error.value.hint


def test_every_precision_of_every_target_is_planned(digits_kit: Path) -> None:
    plans = planned(select(digits_kit, (), ("fp32",)), QuantizeOptions(("int8", "fp16")))
    assert len(plans) == 6
    with pytest.raises(UsageError, match="openvino has no precision"):
        planned(select(digits_kit, (), ("fp32",)), QuantizeOptions(("int8-dynamic",)))


def test_labels_that_are_not_there(digits: Path, digits_kit: Path) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with workbench() as bench, pytest.raises(DataError, match="--labels names no array"):
        read_data(digits / "train.npz", None, "labels", signature, bench, calibrate=True)
