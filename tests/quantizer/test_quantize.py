"""`edgekit.quantize` as a function: what it reads, what it refuses before anything runs, and what it leaves."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, UsageError
from edgekit.kit import Kit
from edgekit.quantizer.data import read_data
from edgekit.quantizer.journal import FOLDER
from edgekit.quantizer.options import QuantizeOptions, given_recipe, planned
from edgekit.quantizer.recipe import Recipe
from edgekit.selection import select
from edgekit.workbench import workbench
from tests.cli.command import copied, snapshot, start, wait_for
from tests.quantizer import kits


def test_three_parts_that_share_no_sample(digits: Path, digits_kit: Path) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with workbench() as bench:
        data = digits / "train.npz"
        shares = read_data(data, None, "label", signature, bench, calibrate=True, choose=True)
        parts = [shares.calibration, shares.selection, shares.evaluation]
        seen: set[bytes] = set()
        for part in parts:
            assert part is not None
            images = {image.tobytes() for image in part.load()["image"]}
            assert not seen & images
            seen |= images
            assert part.load_labels() is not None
        with np.load(data) as arrays:
            assert sum(len(part) for part in parts if part is not None) == len(arrays["image"])


def test_all_data_calibrate_and_choose_where_evaluation_has_its_own(digits: Path, digits_kit: Path) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with workbench() as bench:
        files = (digits / "train.npz", digits / "test.npz")
        shares = read_data(*files, "label", signature, bench, calibrate=True, choose=True)
        assert shares.calibration is not None
        assert shares.selection is not None
        assert shares.evaluation is not None
        with np.load(files[0]) as arrays:
            assert len(shares.calibration) + len(shares.selection) == len(arrays["image"])
        with np.load(files[1]) as arrays:
            assert len(shares.evaluation) == len(arrays["image"])


def test_the_data_may_lack_the_labels_that_the_evaluation_data_have(
    digits: Path, digits_kit: Path, tmp_path: Path
) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with np.load(digits / "train.npz") as arrays:
        np.savez(tmp_path / "bare.npz", image=arrays["image"][:30])
    with workbench() as bench:
        given = (tmp_path / "bare.npz", digits / "test.npz")
        shares = read_data(*given, "label", signature, bench, calibrate=True, choose=True)
        assert shares.selection is not None
        assert shares.selection.labels is None
        assert shares.evaluation is not None
        assert shares.evaluation.labels is not None


def test_without_calibration_or_choice_all_data_evaluate(digits: Path, digits_kit: Path) -> None:
    signature = Kit.open(digits_kit).manifest.source.signature
    with workbench() as bench:
        shares = read_data(digits / "test.npz", None, "label", signature, bench, calibrate=False)
        assert shares.calibration is None
        assert shares.selection is None
        assert shares.evaluation is not None
        assert len(shares.evaluation) == 719


def test_the_loss_of_accuracy_that_is_accepted_is_a_bound(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    """With the answers of the source as labels, it is right every time, and any other artifact can only lose."""
    kit = copied(digits_kit, tmp_path)
    with np.load(digits / "test.npz") as arrays:
        images = arrays["image"][:200]
    with edgekit.load(kit, target="onnx", precision="fp32") as model:
        answers = model.predict({"image": images})["probs"].argmax(axis=1)
    np.savez(tmp_path / "data.npz", image=images, label=answers)
    made = edgekit.quantize(
        kit, tmp_path / "data.npz", precision="fp16", target="openvino", labels="label", max_drop=0.5, pays=False
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
    with workbench() as bench, pytest.raises(DataError, match="--labels names no"):
        read_data(digits / "train.npz", None, "labels", signature, bench, calibrate=True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"precision": "fp16", "recipe": "fp16_histogram"}, "setting-not-taken"),
        ({"precision": "fp16", "ignore": ["fc1"]}, "setting-not-taken"),
        ({"precision": "fp16", "recipe": "int8"}, "other-precision"),
        ({"recipe": "int8_smoothest"}, "bad-recipe"),
        ({"recipe": "nowhere.toml"}, "no-recipe"),
        ({"precision": "fp16", "model_kind": "transformer", "recipe": "fp16"}, "setting-not-taken"),
        ({"precision": "int8", "io": "int8", "target": "onnx"}, "io-not-supported"),
        ({"max_drop": 0.01}, "drop-without-labels"),
        ({"labels": "label", "max_drop": -1.0}, "bad-drop"),
        ({"labels": "label", "metric": "speed"}, "unknown-metric"),
        ({"model_kind": "cnn"}, "unknown-model-kind"),
        ({"trials": 0}, "bad-budget"),
        ({"max_seconds": -1.0}, "bad-budget"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    options: dict[str, Any], code: str, digits: Path, digits_kit: Path
) -> None:
    before = snapshot(digits_kit)
    with pytest.raises(UsageError) as caught:
        edgekit.quantize(digits_kit, digits / "train.npz", **options)
    assert caught.value.code == code
    assert caught.value.hint
    assert snapshot(digits_kit) == before


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "no-calibration-data"),
        ({"precision": "int4-weights", "target": "openvino", "recipe": "int4-weights_gptq"}, "no-calibration-data"),
    ],
)
def test_without_data_where_some_are_needed(options: dict[str, Any], code: str, digits_kit: Path) -> None:
    before = snapshot(digits_kit)
    with pytest.raises(UsageError) as caught:
        edgekit.quantize(digits_kit, **options)
    assert caught.value.code == code
    assert snapshot(digits_kit) == before


def test_an_artifact_that_is_quantized_already_is_no_parent(digits: Path, digits_kit: Path) -> None:
    before = snapshot(digits_kit)
    quantized = next(one for one in select(digits_kit, ("onnx",), ("int8",)))
    with pytest.raises(UsageError, match="holds onnx int8"):
        edgekit.quantize(quantized.path, digits / "train.npz")
    assert snapshot(digits_kit) == before


def test_a_quantized_file_that_poses_as_fp32_is_refused(artifacts: Path, tmp_path: Path) -> None:
    """The manifest claims fp32; the file says otherwise, and it is the file that counts."""
    kit = copied(kits.kit(artifacts, "digits", "tflite"), tmp_path)
    train, _ = kits.data(tmp_path, calibration=60)
    (row,) = edgekit.quantize(kit, train, labels="label", recipe="int8", pays=False).artifacts
    document = json.loads((kit / "kit.json").read_text())
    document["artifacts"] = [
        {**one, "precision": "fp32"} for one in document["artifacts"] if one["precision"] == "int8"
    ]
    (kit / "kit.json").write_text(json.dumps(document))
    before = snapshot(kit)
    with pytest.raises(UsageError) as caught:
        edgekit.quantize(kit, train, labels="label", recipe="int8", pays=False)
    assert caught.value.code == "already-quantized"
    assert snapshot(kit) == before
    assert row.sha256


def test_labels_of_another_length_and_a_metric_that_raises(artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "digits", "tflite"), tmp_path)
    train, _ = kits.data(tmp_path, calibration=60)
    before = snapshot(kit)
    with np.load(train) as arrays:
        np.savez(tmp_path / "short.npz", image=arrays["image"], label=arrays["label"][:-1])
    with pytest.raises(DataError):
        edgekit.quantize(kit, tmp_path / "short.npz", labels="label")
    (tmp_path / "broken.py").write_text("def score(outputs, labels):\n    raise RuntimeError('no score')\n")
    with pytest.raises(UsageError, match="no score"):
        edgekit.quantize(kit, train, labels="label", metric=f"{tmp_path / 'broken.py'}:score")
    assert snapshot(kit) == before


def test_an_unknown_layer_is_named(artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "digits", "tflite"), tmp_path)
    train, _ = kits.data(tmp_path, calibration=60)
    before = snapshot(kit)
    with pytest.raises(UsageError, match="conv2d_99"):
        edgekit.quantize(kit, train, labels="label", ignore=["conv2d_99"])
    assert snapshot(kit) == before


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_what_was_chosen_replays_to_the_byte(target: str, artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "digits", target), tmp_path)
    train, test = kits.data(tmp_path, calibration=90)
    options: dict[str, Any] = {"eval_data": test, "labels": "label", "pays": False}
    (row,) = edgekit.quantize(kit, train, trials=2, **options).artifacts
    assert row.verdict in ("verified", "weak")
    assert row.quantization is not None
    assert row.quantization.model_kind == "convolutional"
    assert len(row.quantization.trials) == 2
    assert [trial.outcome for trial in row.quantization.trials].count("chosen") == 1
    assert row.quantization.calibration_samples == 60
    assert row.quantization.selection_samples == 30
    assert not (kit / FOLDER).exists()

    stored = next(one for one in Kit.open(kit).artifacts if one.precision == "int8")
    recipe = Recipe.from_toml(stored.settings["recipe.toml"])
    assert recipe.name == row.quantization.recipe
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert row.path is not None
    for given in (row.path, tmp_path / "recipe.toml", recipe.name):
        assert given_recipe(given) == recipe
    again = edgekit.quantize(kit, train, recipe=row.path, **options).artifacts[0]
    assert again.sha256 == row.sha256
    assert again.quantization is not None
    assert again.quantization.trials == ()


@pytest.mark.slow
def test_it_is_measured_whether_it_pays(artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "digits", "tflite"), tmp_path)
    train, _ = kits.data(tmp_path, calibration=60)
    (row,) = edgekit.quantize(kit, train, labels="label", recipe="int8").artifacts
    (pays,) = row.pays
    assert pays.answer in ("yes", "no", "not shown")
    assert pays.size_ratio is not None
    assert pays.size_ratio > 1.5


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_where_it_was(artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "digits", "tflite"), tmp_path)
    train, test = kits.data(tmp_path, calibration=90)
    options = ("--data", train, "--eval-data", test, "--labels", "label", "--json")
    process = start("quantize", kit, *options, cwd=tmp_path)

    def tried() -> list[dict[str, Any]]:
        lines = [line for path in (kit / FOLDER).glob("*") for line in path.read_text().splitlines() if line]
        return [json.loads(line) for line in lines if line.endswith("}")]

    wait_for(tried)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = tried()
    artifacts_before = [one.name for one in Kit.open(kit).artifacts]
    assert artifacts_before == ["tflite fp32"]
    (row,) = edgekit.quantize(kit, train, eval_data=test, labels="label", pays=False).artifacts
    assert row.quantization is not None
    for trial, kept in zip(row.quantization.trials, before, strict=False):
        assert trial.seconds == kept["score"]["seconds"]  # to the millisecond: it was not run again
    assert len(row.quantization.trials) > 1
    assert not (kit / FOLDER).exists()
