"""Graphs are clean: normalisation is gone, nothing is left over, outputs that are inputs survive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.exporter.graph import HopRequest
from edgekit.exporter.hops import _onnx
from edgekit.types import Signature, TensorSpec
from tests.exporter import layer_zoo

pytestmark = [
    pytest.mark.xdist_group("graphs"),  # one bench for all: workers and conversions are shared
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras with NumPy 2
]

#: Layers in front of a normalisation, each of which takes it in.
FOLDED = ("conv", "depthwise", "separable", "transposed", "dense", "conv1d")

#: Cheap routes, and those that trace with torch.
ROUTES = (
    "keras@jax>onnx",
    "keras@openvino>openvino",
    "keras@jax>onnx>openvino",
    "keras@jax>stablehlo>tflite",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("keras@torch>onnx>openvino", "keras@torch>tflite")),
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[layer_zoo.LayerBench]:
    with layer_zoo.LayerBench(tmp_path_factory.mktemp("layers")) as made:
        yield made


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("model", FOLDED)
def test_normalisation_is_inside_the_layer_before_it(bench: layer_zoo.LayerBench, model: str, route: str) -> None:
    kinds = bench.kinds(model, route)
    scales = [kind for kind in kinds if kind.upper() in ("MUL", "MULTIPLY", "BATCHNORMALIZATION", "DIV", "SUB")]
    assert scales == [], kinds


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("model", [*FOLDED, "preactivation", "attention"])
def test_cleaning_changes_nothing(bench: layer_zoo.LayerBench, model: str, route: str) -> None:
    assert bench.decibels(model, route) >= 100


@pytest.mark.parametrize("route", ROUTES)
def test_an_output_that_is_an_input_survives(bench: layer_zoo.LayerBench, route: str) -> None:
    assert bench.decibels("passthrough", route) >= 100


@pytest.mark.parametrize("model", [*FOLDED, "preactivation", "attention"])
def test_nothing_is_left_over(bench: layer_zoo.LayerBench, model: str) -> None:
    made = onnx.load(bench.artifact(model, "keras@jax>onnx"))
    onnx.checker.check_model(made, full_check=True)
    onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True, data_prop=True)
    used = {name for node in made.graph.node for name in node.input}
    assert [tensor.name for tensor in made.graph.initializer if tensor.name not in used] == []
    contents = [(tuple(tensor.dims), tensor.data_type, tensor.raw_data) for tensor in made.graph.initializer]
    assert len(contents) == len(set(contents))
    assert {"Identity", "Dropout", "Expand"}.isdisjoint(node.op_type for node in made.graph.node)
    assert [entry.domain for entry in made.opset_import] == [""]


def test_layer_normalisation_is_what_engines_know(bench: layer_zoo.LayerBench) -> None:
    kinds = bench.kinds("attention", "keras@jax>onnx")
    start = next(index for index, kind in enumerate(kinds) if kinds[index : index + 2] == ["ReduceMean", "Sub"])
    assert kinds[start : start + 9] == ["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"]


def _graph(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], output: list[Any]) -> onnx.ModelProto:
    def value(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", ["batch", 4, 6, 6])], [value("y", output)], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


def _run(model: onnx.ModelProto | Path) -> np.ndarray:
    import onnxruntime

    content = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(5).standard_normal((2, 4, 6, 6)).astype(np.float32)
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize(("kind", "groups"), [("Conv", 1), ("Conv", 2), ("ConvTranspose", 1), ("ConvTranspose", 2)])
def test_constants_behind_a_transposition_are_merged(tmp_path: Path, kind: str, groups: int) -> None:
    make, rng = onnx.helper.make_node, np.random.default_rng(3)
    kernel = rng.uniform(0.5, 1, (6, 4 // groups, 3, 3) if kind == "Conv" else (4, 6 // groups, 3, 3))
    nodes = [
        make(kind, ["x", "kernel"], ["made"], group=groups),
        make("Transpose", ["made"], ["turned"], perm=[0, 2, 3, 1]),
        make("Mul", ["turned", "scale"], ["scaled"]),
        make("Add", ["scaled", "offset"], ["y"]),
    ]
    weights = {"kernel": kernel, "scale": rng.uniform(0.5, 2, (6,)), "offset": rng.uniform(-1, 1, (1, 1, 6))}
    size = 4 if kind == "Conv" else 8
    model = _graph(nodes, {name: array.astype(np.float32) for name, array in weights.items()}, ["batch", size, size, 6])
    before = _run(model)
    signature = Signature(
        (TensorSpec("x", (None, 4, 6, 6), "float32"),), (TensorSpec("y", (None, size, size, 6), "float32"),)
    )
    path = _onnx.save(model, HopRequest(tmp_path, signature, tmp_path, None))
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    spread = kind == "ConvTranspose" and groups > 1  # its output channels lie on two axes of the kernel
    assert kinds == ([kind, "Transpose", "Mul", "Add"] if spread else [kind, "Transpose"])
    np.testing.assert_allclose(_run(path), before, atol=1e-5)
