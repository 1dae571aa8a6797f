"""Matrix products that NNCF's four-bit compression of ONNX models gets wrong, before and after it.

It replaces one product of a weight that several share and takes the weight from the others, loses a Gemm's third input
where it is computed, and gives a product the bias of the Add behind it, which adds it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

_DEFAULTS: dict[str, Any] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}


def split_gemms(model: onnx.ModelProto) -> None:
    """Write every Gemm of a stored weight as MatMul and Add, in place; the product keeps the name of the Gemm."""
    from onnx import helper, numpy_helper

    stored = {weight.name: weight for weight in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.op_type != "Gemm" or node.input[1] not in stored:
            nodes.append(_copy(node))
            continue
        settings = _DEFAULTS | {one.name: helper.get_attribute_value(one) for one in node.attribute}
        source, weight, target = node.input[0], node.input[1], node.output[0]
        if settings["transA"]:
            source = f"{target}/transposed"
            nodes.append(helper.make_node("Transpose", [node.input[0]], [source], f"{node.name}/Transpose", perm=[1, 0]))
        if settings["transB"] or settings["alpha"] != 1:
            weight = f"{node.input[1]}/{settings['transB']}/{settings['alpha']:g}"
            values = numpy_helper.to_array(stored[node.input[1]]) * np.float32(settings["alpha"])
            if weight not in stored:
                made = numpy_helper.from_array(np.ascontiguousarray(values.T if settings["transB"] else values), weight)
                stored[weight] = made
                model.graph.initializer.append(made)
        added = len(node.input) > 2 and bool(node.input[2])
        product = f"{target}/product" if added else target
        nodes.append(helper.make_node("MatMul", [source, weight], [product], node.name))
        if added:
            nodes += _sum(model, node, product, settings["beta"])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _drop_unused(model)


def mend(model: onnx.ModelProto) -> None:
    """Drop biases that an Add holds too, and give every product of a weight in four bits its share of it, in place."""
    from onnx import helper

    packed: dict[str, Any] = {}
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            del node.input[4:]  # the order of groups, which nothing uses, and the bias
            if len(node.input) > 3 and not node.input[3]:
                del node.input[3:]
            packed[node.input[1].removesuffix("_quantized")] = node
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in packed:
            like = packed[node.input[1]]
            settings = {one.name: helper.get_attribute_value(one) for one in like.attribute}
            inputs = [node.input[0], *like.input[1:]]
            node.CopyFrom(
                helper.make_node(like.op_type, inputs, node.output, node.name, domain=like.domain, **settings)
            )


def _sum(model: onnx.ModelProto, node: Any, product: str, beta: float) -> list[Any]:
    from onnx import helper, numpy_helper

    nodes, bias = [], node.input[2]
    if beta != 1:
        bias = f"{node.output[0]}/scaled"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(beta), f"{node.output[0]}/beta"))
        nodes.append(helper.make_node("Mul", [node.input[2], f"{node.output[0]}/beta"], [bias], f"{node.name}/Scale"))
    return [*nodes, helper.make_node("Add", [product, bias], [node.output[0]], f"{node.name}/Add")]


def _drop_unused(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
    loops = any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute)
    for weight in [] if loops else [one for one in model.graph.initializer if one.name not in used]:
        model.graph.initializer.remove(weight)


def _copy(node: Any) -> Any:
    """A node that does not belong to the list which is cleared."""
    return type(node).FromString(node.SerializeToString())
