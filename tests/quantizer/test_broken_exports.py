"""Models that a stock converter breaks on its way to the quantizer: each ends in a quantized file that runs.

Weights are random, and attention with random weights loses everything in few bits: it is judged as a function alone,
on generated inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.samples import save_npz
from tests.exporter import zoo

RANDOM = np.random.default_rng(5)

Arrays = dict[str, np.ndarray]


def _ids(count: int) -> Arrays:
    return {"ids": RANDOM.integers(0, 50, (count, 16)).astype(np.int32)}


def _two(count: int) -> Arrays:
    return {
        "image": RANDOM.normal(size=(count, 8, 8, 1)).astype(np.float32),
        "extra": RANDOM.normal(size=(count, 5)).astype(np.float32),
    }


def _image(count: int) -> Arrays:
    return {"image": RANDOM.uniform(0, 255, (count, 10, 12, 3)).astype(np.float32)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.build(tmp_path_factory.mktemp("broken"), "text", "two", "resized")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize(
    ("name", "target", "samples", "precision"),
    [
        ("text", "onnx", _ids, "int8-weights"),  # torch.onnx cannot trace attention with a free batch
        ("two", "openvino", _two, "int8"),  # OpenVINO's own tracer refuses dictionaries of outputs
        ("resized", "tflite", _image, "int8"),  # litert-torch refuses the interpolation
        ("two", "onnx", _two, "int8"),  # a model that was just loaded has never been called, which torch.onnx needs
    ],
)
def test_from_the_torch_backend_to_int8(
    name: str, target: str, samples: Callable[[int], Arrays], precision: str, models: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.npz" if precision == "int8" else None
    if data is not None:
        save_npz(data, samples(60).items())
    exported = edgekit.export(models / f"{name}.keras", target, output=tmp_path / "kit", backend="torch", data=data)
    assert exported.verdict == "verified", exported.artifacts
    made = edgekit.quantize(tmp_path / "kit", data, precision=precision, trials=1, pays=False)
    (row,) = made.artifacts
    assert row.path is not None, row.reasons
    assert row.verdict in ("verified", "weak")
    assert row.precision == precision
