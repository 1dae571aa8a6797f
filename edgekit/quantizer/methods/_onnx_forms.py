"""Quantized values in the form that onnxruntime computes on; in another one it makes floats of them every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.quantizer.methods._macs_onnx import MOVING

if TYPE_CHECKING:
    import onnx

#: What a quantizer behind it can do as well.
_CLIPPING = ("Clip", "Relu")


def count_axes_from_the_start(model: onnx.ModelProto) -> None:
    """Make the axes of scales positive, in place: NNCF counts those of a product from the end."""
    stored = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "DequantizeLinear" else ():
            if attribute.name == "axis" and attribute.i < 0 and node.input[0] in stored:
                attribute.i += len(stored[node.input[0]].dims)


def make_activations_unsigned(model: onnx.ModelProto) -> None:
    """Store activations as uint8 instead of int8, in place: the same values, whose zero is 128 steps higher.

    On x86 onnxruntime multiplies unsigned activations with signed weights only.
    """
    from onnx import numpy_helper

    stored = {weight.name: weight for weight in model.graph.initializer}
    uses: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            uses.setdefault(name, []).append(node)
    shifted: dict[str, Any] = {}
    changed = set()
    for node in [one for one in model.graph.node if one.op_type == "QuantizeLinear" and len(one.input) > 2]:
        pair = [node, *uses.get(node.output[0], [])]
        zeros = [numpy_helper.to_array(stored[one.input[2]]) for one in pair if set(one.input[2:]) & stored.keys()]
        paired = all(one.op_type == "DequantizeLinear" for one in pair[1:]) and len(zeros) == len(pair)
        if not paired or any(zero.dtype != np.int8 for zero in zeros):
            continue
        changed.add(node.output[0])
        for one, zero in zip(pair, zeros, strict=True):
            name = f"{one.input[2]}/unsigned"
            shifted[name] = numpy_helper.from_array((zero.astype(np.int16) + 128).astype(np.uint8), name)
            one.input[2] = name
    model.graph.initializer.extend(shifted.values())
    for info in [one for one in model.graph.value_info if one.name in changed]:
        model.graph.value_info.remove(info)


def make_biases_integer(model: onnx.ModelProto) -> None:
    """Store the biases of Gemms as int32 in steps of the product, in place.

    Such a step is the product of the scales of activations and weights, so rounding to it loses next to nothing.
    """
    from onnx import helper, numpy_helper

    stored = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    made = {name: node for node in model.graph.node for name in node.output}
    for node in [one for one in model.graph.node if one.op_type == "Gemm" and len(one.input) > 2]:
        first, second = (_scale(name, made, stored) for name in node.input[:2])
        bias = stored.get(node.input[2])
        if bias is None or bias.ndim != 1 or bias.dtype != np.float32 or first is None or second is None:
            continue
        step = np.broadcast_to((first * second).reshape(-1), bias.shape)
        steps = np.round(bias.astype(np.float64) / step)
        if np.abs(steps).max() > np.iinfo(np.int32).max:  # a weight that is all zeros has no scale to speak of
            continue
        name = f"{node.output[0]}/bias"
        for value, part in ((steps.astype(np.int32), "steps"), (np.ascontiguousarray(step), "scale")):
            model.graph.initializer.append(numpy_helper.from_array(value, f"{name}/{part}"))
        model.graph.node.append(
            helper.make_node("DequantizeLinear", [f"{name}/steps", f"{name}/scale"], [name], name, axis=0)
        )
        node.input[2] = name


def keep_gemms_apart(model: onnx.ModelProto) -> None:
    """Put a Reshape that changes nothing between a Gemm and what takes its float result, in place.

    onnxruntime joins a Gemm with an activation before it looks for quantized values. One that is quantized right behind
    the activation needs none: such a pair is recognised.
    """
    from onnx import helper, numpy_helper

    uses: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            uses.setdefault(name, []).append(node)
    made = {name: node for node in model.graph.node for name in node.output}
    for node in [one for one in model.graph.node if one.op_type == "Gemm"]:
        result = node.output[0]
        takers = behind = uses.get(result, [])
        if len(takers) == 1 and takers[0].op_type in _CLIPPING:
            behind = uses.get(takers[0].output[0], [])
        quantized = all(_dequantizer(name, made) is not None for name in node.input[:2])
        if not quantized or not takers or (behind and all(one.op_type == "QuantizeLinear" for one in behind)):
            continue
        node.output[0] = f"{result}/product"
        model.graph.initializer.append(numpy_helper.from_array(np.array([0, -1]), f"{result}/shape"))
        model.graph.node.append(
            helper.make_node("Reshape", [node.output[0], f"{result}/shape"], [result], f"{node.name}/Keep")
        )


def _dequantizer(name: str, made: dict[str, Any]) -> Any:
    """The DequantizeLinear that a tensor comes from, moved or not; None where it comes from something else."""
    while name in made and made[name].op_type in MOVING:
        name = made[name].input[0]
    node = made.get(name)
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _scale(name: str, made: dict[str, Any], stored: dict[str, np.ndarray]) -> np.ndarray | None:
    node = _dequantizer(name, made)
    return None if node is None else stored.get(node.input[1])


def mend_four_bits(model: onnx.ModelProto) -> None:
    """Make every product of a weight in four bits a MatMulNBits without a bias, in place.

    NNCF replaces one of the products that share a weight, and takes the weight from the others. It also gives a product
    the bias of the Add behind it, which adds it a second time, and whose shape onnxruntime may refuse.
    """
    from onnx import helper

    packed: dict[str, Any] = {}
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            inputs = [name for name in node.input[:4] if name]  # then come the order of groups, unused, and a bias
            del node.input[:]
            node.input.extend(inputs)
            packed[node.input[1].removesuffix("_quantized")] = node
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in packed:
            like = packed[node.input[1]]
            settings = {one.name: helper.get_attribute_value(one) for one in like.attribute}
            inputs = [node.input[0], *like.input[1:]]
            node.CopyFrom(
                helper.make_node(like.op_type, inputs, node.output, node.name, domain=like.domain, **settings)
            )
