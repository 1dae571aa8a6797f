"""`edgekit.export` as a function: names, order and dtypes survive, and options are refused before any work."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import UsageError
from edgekit.exporter.export import ExportOptions
from edgekit.exporter.graph import TARGETS
from tests import models
from tests.exporter import zoo


def test_two_inputs_and_two_outputs_keep_their_names_and_order(twin_keras: Path, tmp_path: Path) -> None:
    result = edgekit.export(twin_keras, output=tmp_path / "kit")
    assert result.verdict == "verified", [row.reasons for row in result.artifacts]
    inputs = models.twin_inputs(3)
    expected = edgekit.load(tmp_path / "kit", target="onnx").predict(inputs)
    for target in TARGETS:
        with edgekit.load(tmp_path / "kit", target=target) as model:
            assert [spec.name for spec in model.signature.inputs] == list(models.INPUTS)
            assert [spec.name for spec in model.signature.outputs] == list(models.OUTPUTS)
            made = model.predict(inputs)
        for name in models.OUTPUTS:
            assert np.abs(made[name] - expected[name]).max() < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_a_batch_that_torch_writes_down_as_a_number_becomes_1(tmp_path: Path) -> None:
    """The number it traces with is 2, with which nobody could run one sample."""
    model = zoo.build(tmp_path, "simple_rnn") / "simple_rnn.keras"
    result = edgekit.export(model, ("onnx", "openvino"), output=tmp_path / "kit", backend="torch")
    assert result.verdict == "verified", [row.reasons for row in result.artifacts]
    for target in ("onnx", "openvino"):
        with edgekit.load(tmp_path / "kit", target=target) as loaded:
            assert loaded.signature.batch in (None, 1)
            assert loaded.predict({"steps": np.ones((1, 6, 4), np.float32)})["score"].shape == (1, 2)


def test_targets_are_planned_once_each_in_the_order_given() -> None:
    assert list(ExportOptions(("tflite", "onnx", "tflite")).planned("keras")) == ["tflite", "onnx"]
    assert list(ExportOptions(("onnx", "all")).planned("keras")) == list(TARGETS)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (ExportOptions(("onnx", "coreml")), "unknown-target"),
        (ExportOptions(("tflite",), opset=17), "opset-without-onnx"),
        (ExportOptions(("all",), route="keras@jax>onnx"), "no-route"),
    ],
)
def test_a_plan_that_cannot_be(options: ExportOptions, code: str) -> None:
    with pytest.raises(UsageError) as error:
        options.planned("keras")
    assert error.value.code == code
