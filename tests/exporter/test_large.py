"""Weights that do not fit into one protobuf message lie beside the ONNX file, and everything goes on from there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.exporter.graph import HopRequest
from edgekit.exporter.hops import _onnx, onnx_to_onnx
from edgekit.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", (None, 64), "float32"),), (TensorSpec("y", (None, 64), "float32"),))


def _model(width: int = 64, layers: int = 2) -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    weights = [rng.random((width, width), np.float32) - np.float32(0.5) for _ in range(layers)]
    names = ["x", *(f"x{index}" for index in range(1, layers)), "y"]
    nodes = [
        onnx.helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]], name=f"dense_{index}/MatMul")
        for index in range(layers)
    ]
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", width]) for name in "xy"]
    tensors = [onnx.numpy_helper.from_array(array, f"w{index}") for index, array in enumerate(weights)]
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


def _run(path: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_large_weights_lie_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(4).standard_normal((3, 64)).astype(np.float32)
    outputs = []
    for name, limit in (("inside", _onnx.INSIDE_BYTES), ("beside", 20_000)):
        monkeypatch.setattr(_onnx, "INSIDE_BYTES", limit)
        folder = tmp_path / name
        folder.mkdir()
        path = _onnx.save(_model(), HopRequest(folder, SIGNATURE, folder, None))
        assert {file.name for file in folder.iterdir()} == {"model.onnx"} | (
            {"model.onnx.data"} if name == "beside" else set()
        )
        outputs.append(_run(path, x))
    assert (tmp_path / "beside/model.onnx").stat().st_size < 4096
    np.testing.assert_array_equal(outputs[0], outputs[1])


@pytest.mark.slow
@pytest.mark.skipif("EDGEKIT_TEST_LARGE" not in os.environ, reason="takes 8 GiB and minutes: set EDGEKIT_TEST_LARGE=1")
def test_a_model_of_more_than_two_gigabytes(tmp_path: Path) -> None:
    """The real limit, with 2**31 bytes of weights; it takes 8 GiB of memory."""
    width, source = 16384, tmp_path / "large.onnx"
    onnx.save(_model(width), source, save_as_external_data=True, location="large.onnx.data")
    specs = [TensorSpec(name, (None, width), "float32") for name in "xy"]
    made = tmp_path / "made"
    made.mkdir()
    path = onnx_to_onnx.convert(HopRequest(source, Signature((specs[0],), (specs[1],)), made, None))
    assert path.stat().st_size < 4096
    assert (made / "model.onnx.data").stat().st_size >= 2**31
