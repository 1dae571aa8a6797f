"""An output may be called like a value inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgekit
from edgekit.exporter.hops._names import name_rest
from edgekit.exporter.hops._onnx import name_outputs
from tests.exporter import zoo


def run(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(None, dict(inputs))]


def test_an_inner_value_makes_room_for_the_output() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["score"]), helper.make_node("Neg", ["score"], ["placeholder"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("placeholder", TensorProto.FLOAT, ["batch", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = np.array([[-1, 2, 3]], np.float32)
    before = run(model, {"x": x})
    name_outputs(model.graph, ["score"])
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["score"]
    np.testing.assert_array_equal(run(model, {"x": x})[0], before[0])


def test_a_node_that_lost_its_name_gets_one_that_no_other_has() -> None:
    kinds = ("Mul", "Mul", "Add", "Mul")
    nodes = [helper.make_node(kind, [f"v{n}", "x"], [f"v{n + 1}"]) for n, kind in enumerate(kinds)]
    for node, name in zip(nodes, ("norm/Mul", "norm/Mul_1", "norm/Add", ""), strict=True):
        node.name = name
    graph = helper.make_graph(nodes, "g", [], [])
    name_rest(graph)
    assert [node.name for node in graph.node] == ["norm/Mul", "norm/Mul_1", "norm/Add", "norm/Mul_2"]


@pytest.mark.slow
def test_a_classifier_that_returns_classes_reaches_onnx(tmp_path: Path) -> None:
    result = edgekit.export(zoo.build(tmp_path, "classes") / "classes.keras", "onnx", output=tmp_path / "kit")
    assert result.artifacts[0].verdict == "verified", result.artifacts[0].reasons
    assert result.source.signature.outputs[0].dtype == "int32"
