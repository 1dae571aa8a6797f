"""An Einsum with a stored weight becomes the same product, so that its weight can be quantized."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgekit.quantizer.methods.einsum import as_product, einsum_macs, rewrite_onnx

RANDOM = np.random.default_rng(0)

#: What Keras writes for dense layers and for attention's projections.
EQUATIONS = {
    "bpc,cd->bpd": ((2, 3, 4), (4, 5)),
    "abc,cde->abde": ((2, 3, 4), (4, 5, 6)),
    "abcd,cde->abe": ((2, 3, 4, 5), (4, 5, 6)),
    "abc,dc->abd": ((2, 3, 4), (5, 4)),
    "abcd,dce->abe": ((2, 3, 4, 5), (5, 4, 6)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_product_computes_the_same(equation: str) -> None:
    first, second = (RANDOM.normal(size=shape).astype(np.float32) for shape in EQUATIONS[equation])
    expected = np.einsum(equation, first, second)
    product = as_product(equation, second)
    assert product is not None
    flat = first.reshape(*first.shape[: product.kept], -1) @ product.weight
    np.testing.assert_allclose(flat.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("equation", ["abc,bcd->abd", "abc,cd->adb", "abc,cdc->abd", "abc,de->abcde", "...c,cd->...d"])
def test_what_is_no_plain_product_stays(equation: str) -> None:
    assert as_product(equation, RANDOM.normal(size=(4, 4, 4)[: len(equation.split(",")[1].split("->")[0])])) is None


def test_an_onnx_model_computes_the_same_without_einsum() -> None:
    weights = {"query": (4, 5, 6), "out": (5, 6, 7)}
    nodes = [
        helper.make_node("Einsum", ["x", "query"], ["h"], "attention/query", equation="abc,cde->abde"),
        helper.make_node("Einsum", ["h", "out"], ["y"], "attention/out", equation="abcd,cde->abe"),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, 7])],
        [
            onnx.numpy_helper.from_array(RANDOM.normal(size=shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = {"x": RANDOM.normal(size=(2, 3, 4)).astype(np.float32)}
    (before,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    rewrite_onnx(model)
    onnx.checker.check_model(model, full_check=True)
    (after,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    products = [node.name for node in model.graph.node if node.op_type == "MatMul"]
    assert products == ["attention/query", "attention/out"]
    assert "query" not in {weight.name for weight in model.graph.initializer}


def test_its_arithmetic_is_the_product_of_all_sizes() -> None:
    assert einsum_macs("abc,cde->abde", [[2, 3, 4], [4, 5, 6]]) == 2 * 3 * 4 * 5 * 6
    assert einsum_macs("ij->ji", [[2, 3]]) == 0
