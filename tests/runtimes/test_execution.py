"""What engines say that they execute, for artifacts whose operators are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.execution import CONVERSION, PRODUCT, Execution, ExecutionJob
from tests import models

WIDTH = 256


def executed(runtime: str, path: Path, inputs: dict[str, np.ndarray], folder: Path) -> Execution:
    """Asked in a process of its own, as always."""
    with Executor() as executor:
        blobs = {}
        for name, array in inputs.items():
            np.save(folder / f"{name}.npy", array)
            blobs[name] = executor.add(folder / f"{name}.npy")
        files = [path, path.with_suffix(".bin")] if runtime == "openvino" else [path]
        job = ExecutionJob(runtime, tuple(executor.add(file) for file in files), blobs, OpenOptions(threads=1))
        return executor.run_fresh(job, Context("plain"))


def weights_onnx(path: Path, *, quantized: bool) -> Path:
    """``x @ W`` with W in float, or in int8 behind an operator that onnxruntime fuses only where the axis is not -1."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    scale = np.abs(weights).max(axis=0) / 127
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    constants: dict[str, np.ndarray] = {"w": weights, "b": np.zeros(WIDTH, np.float32)}
    if quantized:
        nodes.insert(0, helper.make_node("DequantizeLinear", ["q", "scale"], ["w"], axis=-1))
        constants |= {"q": np.round(weights / scale).astype(np.int8), "scale": scale}
        del constants["w"]
    graph = helper.make_graph(
        nodes,
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_integer_arithmetic_is_seen(target: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path: Path = request.getfixturevalue(f"dense_{target}")
    found = executed({"onnx": "onnxruntime"}.get(target, target), path, models.dense_inputs(4), tmp_path)
    (product,) = found.of(PRODUCT)
    assert (product.format, product.count) == ("i8", 1)
    assert found.profiled is (target != "tflite")
    if found.profiled:
        assert sum(group.share or 0 for group in found.operators) == pytest.approx(1)
    else:
        assert product.unit == "XNNPACK"


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_float_arithmetic_is_seen(target: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path: Path = request.getfixturevalue(f"twin_{target}")
    found = executed({"onnx": "onnxruntime"}.get(target, target), path, models.twin_inputs(4), tmp_path)
    products = found.of(PRODUCT)
    assert sum(group.count for group in products) == 2
    assert {group.format for group in products} == {"f32"}


def test_weights_that_are_expanded_at_each_inference_are_seen(tmp_path: Path) -> None:
    path = weights_onnx(tmp_path / "weights.onnx", quantized=True)
    found = executed("onnxruntime", path, {"x": np.ones((2, WIDTH), np.float32)}, tmp_path)
    (expanded,) = found.of(CONVERSION)
    assert (expanded.kind, expanded.count) == ("DequantizeLinear", 1)
    assert expanded.share is not None
    assert expanded.share > 0


def test_a_fixed_batch_is_filled(twin_openvino_fixed: Path, tmp_path: Path) -> None:
    assert executed("openvino", twin_openvino_fixed, models.twin_inputs(1), tmp_path).of(PRODUCT)


def test_what_xnnpack_leaves_to_the_built_in_kernels_is_told_apart(twin_tflite: Path, tmp_path: Path) -> None:
    found = executed("tflite", twin_tflite, models.twin_inputs(4), tmp_path)
    units = {group.kind: group.unit for group in found.operators}
    assert units["GATHER"] == "built-in", "XNNPACK has no such kernel"
    assert "XNNPACK" in units.values()


def test_nothing_is_known_of_another_runtime(twin_onnx: Path, tmp_path: Path) -> None:
    assert executed("somebody-elses", twin_onnx, models.twin_inputs(1), tmp_path) == Execution((), False)


def test_a_file_that_the_engine_refuses(tmp_path: Path) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"no model" * 50)
    with pytest.raises(ModelError) as error:
        executed("onnxruntime", path, {"x": np.ones((1, 2), np.float32)}, tmp_path)
    assert error.value.code == "unloadable-artifact"
