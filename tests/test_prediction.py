"""`edgekit.load` and `edgekit.predict`, as a program uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, UsageError
from edgekit.samples import save_npz
from tests import models


def test_every_target_gives_the_same_answers(digits_kit: Path, digits: Path) -> None:
    with np.load(digits / "test.npz") as arrays:
        images = arrays["image"][:40]
    answers = {}
    for target in ("onnx", "openvino", "tflite"):
        with edgekit.load(digits_kit, target=target, precision="fp32", threads=1) as model:
            answers[target] = model.predict({"image": images})["probs"]
    assert answers["onnx"].shape == (40, 10)
    assert answers["onnx"].std(axis=0).min() > 0.01
    for target in ("openvino", "tflite"):
        assert np.abs(answers[target] - answers["onnx"]).max() < 1e-4


def test_any_number_of_samples(twin_onnx: Path, twin_onnx_fixed: Path) -> None:
    inputs = models.twin_inputs(5)
    for path in (twin_onnx, twin_onnx_fixed):  # free, and fixed to 2
        with edgekit.load(path) as model:
            made = model.predict(inputs)
        assert set(made) == set(models.OUTPUTS)
        for name, expected in models.twin_outputs(inputs).items():
            assert np.abs(made[name] - expected).max() < 1e-5


def test_a_wrong_shape_is_refused_in_words(twin_onnx: Path) -> None:
    inputs = models.twin_inputs(2)
    with edgekit.load(twin_onnx) as model, pytest.raises(DataError, match="wide"):
        model.predict({**inputs, "wide": inputs["wide"][:, :3]})


def test_one_artifact_has_to_be_chosen(digits_kit: Path) -> None:
    with pytest.raises(UsageError, match="one has to be chosen"):
        edgekit.load(digits_kit, target="onnx")


def test_a_file_of_its_own(twin_tflite: Path, tmp_path: Path) -> None:
    inputs = models.twin_inputs(4)
    save_npz(tmp_path / "data.npz", [*inputs.items(), ("extra", np.arange(4))])
    done = edgekit.predict(twin_tflite, tmp_path / "data.npz", labels="extra", output=tmp_path / "out.npz")
    assert done.ok
    assert done.samples == 4
    with np.load(done.output) as made:
        for name, expected in models.twin_outputs(inputs).items():
            assert np.abs(made[name] - expected).max() < 1e-5


def test_an_output_that_cannot_be_written(twin_onnx: Path, tmp_path: Path) -> None:
    save_npz(tmp_path / "data.npz", models.twin_inputs(2).items())
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as error:
        edgekit.predict(twin_onnx, tmp_path / "data.npz", output=tmp_path / "file" / "out.npz")
    assert error.value.code == "no-permission"
