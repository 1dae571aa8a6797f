"""Gemm as a product and a sum, which onnxruntime computes in few bits where it would not compute the Gemm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

_DEFAULTS: dict[str, Any] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}


def split_gemms(model: onnx.ModelProto, *, computed: bool = False) -> None:
    """Write every Gemm of a stored weight as MatMul and Add, in place; the product keeps the name of the Gemm.

    onnxruntime joins a Gemm with the activation behind it before it looks for quantized weights, so that it would make
    floats of the weights in every inference: 1.5 ms instead of 0.03 ms on four layers of 512. A Reshape that changes
    nothing keeps it from making a Gemm of the product and the sum again.

    Args:
        model: float.
        computed: whether only those whose third input is computed: with a stored one, activations and weights that are
            both quantized make a QGemm.
    """
    from onnx import numpy_helper

    stored = {weight.name: weight for weight in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        biased = len(node.input) > 2 and bool(node.input[2])
        wanted = not computed or (biased and node.input[2] not in stored)
        if node.op_type == "Gemm" and node.input[1] in stored and wanted:
            made, weights = _split(node, numpy_helper.to_array(stored[node.input[1]]), biased=biased)
            nodes += made
            model.graph.initializer.extend(weight for weight in weights if weight.name not in stored)
            stored |= {weight.name: weight for weight in weights}
        else:
            nodes.append(type(node).FromString(node.SerializeToString()))  # the list that it belongs to is cleared
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _drop_unused(model)


def _split(node: Any, weight: np.ndarray, *, biased: bool) -> tuple[list[Any], list[Any]]:
    """The operators, and weights that they need besides those of the Gemm."""
    from onnx import helper, numpy_helper

    settings = _DEFAULTS | {one.name: helper.get_attribute_value(one) for one in node.attribute}
    source, used, target = node.input[0], node.input[1], node.output[0]
    nodes, weights = [], []
    if settings["transA"]:
        nodes.append(helper.make_node("Transpose", [source], [f"{target}/data"], f"{node.name}/Transpose", perm=[1, 0]))
        source = f"{target}/data"
    if settings["transB"] or settings["alpha"] != 1:
        used = f"{used}/{settings['transB']}/{settings['alpha']:g}"  # the same for all that share it
        values = (weight.T if settings["transB"] else weight) * weight.dtype.type(settings["alpha"])
        weights.append(numpy_helper.from_array(np.ascontiguousarray(values), used))
    product = f"{target}/product" if biased else target
    nodes.append(helper.make_node("MatMul", [source, used], [product], node.name))
    if not biased:
        return nodes, weights
    bias = node.input[2]
    if settings["beta"] != 1:
        weights.append(numpy_helper.from_array(weight.dtype.type(settings["beta"]), f"{target}/beta"))
        nodes.append(helper.make_node("Mul", [bias, f"{target}/beta"], [f"{target}/bias"], f"{node.name}/Scale"))
        bias = f"{target}/bias"
    weights.append(numpy_helper.from_array(np.array([0, -1]), f"{target}/shape"))
    nodes.append(helper.make_node("Reshape", [product, f"{target}/shape"], [f"{target}/kept"], f"{node.name}/Keep"))
    nodes.append(helper.make_node("Add", [f"{target}/kept", bias], [target], f"{node.name}/Add"))
    return nodes, weights


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove weights that nothing uses, where no loop could."""
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        return
    used = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
    for weight in [one for one in model.graph.initializer if one.name not in used]:
        model.graph.initializer.remove(weight)
