"""How much of an ONNX model's arithmetic is in few bits, operator by operator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.quantizer.methods.einsum import einsum_macs
from edgekit.quantizer.registry import LayerInfo, MacCount

if TYPE_CHECKING:
    import onnx

#: Operators that only move values: what they give is quantized when what they take is.
MOVING = {
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherND",
    "Identity",
    "MaxPool",
    "Pad",
    "ReduceMax",
    "Relu",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
}

_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}

#: Products that take integers themselves.
_INTEGER = {"MatMulInteger"}
_RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}
_LOOPS = {"Loop", "Scan", "If"}

#: Operators that look at no value.
_SIZES = {"Shape", "Size"}


@dataclass
class _Graph:
    """A graph in the scope of those around it.

    Attributes:
        nodes: by the tensor that they make.
        shapes: of tensors, free sizes being 1.
        constants: small integer initializers, by name.
    """

    nodes: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, list[int]] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)


def layers_onnx(model: onnx.ModelProto) -> tuple[tuple[LayerInfo, ...], MacCount]:
    """Operators that compute on quantized values, in the order of the file, and the whole count.

    Args:
        model: with DequantizeLinear before what is quantized.
    """
    infos = []
    low = total = 0
    inferred = _at_batch_one(model)
    for node, around, times in _operators(inferred.graph, _Graph(), 1):
        macs = times * _macs(node, around)
        quantized = _computes_on_quantized(node, around)
        total += macs
        low += macs if quantized and macs else 0
        if quantized:
            infos.append(LayerInfo(node.name, node.op_type, macs))
    return tuple(infos), MacCount(low, total)


def _at_batch_one(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without large weights whose sizes are inferred, every free one being 1."""
    import onnx

    light = onnx.ModelProto()
    light.CopyFrom(model)
    for spec in light.graph.input:
        for size in spec.type.tensor_type.shape.dim:
            if not size.HasField("dim_value"):
                size.dim_value = 1
    del light.graph.value_info[:]  # they hold the free sizes
    for spec in light.graph.output:
        spec.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(light, data_prop=True)
    except onnx.shape_inference.InferenceError:  # sizes that depend on each other
        return light


def _operators(graph: onnx.GraphProto, outer: _Graph, times: int) -> Iterator[tuple[Any, _Graph, int]]:
    """Every operator with its scope, and how often it runs in one inference; those of loops too."""
    around = _scope(graph, outer)
    for node in graph.node:
        yield node, around, times
        if node.op_type in _LOOPS:
            steps = _iterations(node, around)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield from _operators(attribute.g, around, times * steps)


def _scope(graph: onnx.GraphProto, outer: _Graph) -> _Graph:
    import onnx

    around = _Graph(dict(outer.nodes), dict(outer.shapes), dict(outer.constants))
    for weight in graph.initializer:
        around.shapes[weight.name] = list(weight.dims)
        if weight.data_type == onnx.TensorProto.INT64 and math.prod(weight.dims) <= 1:
            around.constants[weight.name] = onnx.numpy_helper.to_array(weight)
    for spec in (*graph.input, *graph.value_info, *graph.output):
        around.shapes[spec.name] = [max(1, size.dim_value) for size in spec.type.tensor_type.shape.dim]
    around.nodes |= {name: node for node in graph.node for name in node.output}
    return around


def _iterations(node: Any, around: _Graph) -> int:
    """Steps of a loop: the length of what Scan walks over, the constant count of Loop, else 1."""
    if node.op_type == "Scan":
        walked = _attribute(node, "num_scan_inputs", 1)
        axes = _attribute(node, "scan_input_axes", [0])
        shape = around.shapes.get(node.input[len(node.input) - walked], [])
        return max(1, shape[axes[0]]) if len(shape) > axes[0] else 1
    if node.op_type == "Loop" and node.input[0] in around.constants:
        return max(1, int(around.constants[node.input[0]].reshape(-1)[0]))
    return 1


def _macs(node: Any, around: _Graph) -> int:
    kind = node.op_type
    shapes = [around.shapes.get(name, []) for name in node.input]
    made = around.shapes.get(node.output[0], []) if node.output else []
    if kind == "Conv":
        return math.prod(shapes[1]) * math.prod(made[2:])
    if kind == "ConvTranspose":
        return math.prod(shapes[1]) * math.prod(shapes[0][2:])
    if kind in ("MatMul", "Gemm", *_INTEGER):
        return _product(node, shapes, made)
    if kind == "Einsum":
        return einsum_macs(_attribute(node, "equation", b"").decode(), shapes)
    if kind in _RECURRENT:
        steps = shapes[0][1 if _attribute(node, "layout", 0) else 0] if shapes[0] else 1
        return steps * (math.prod(shapes[1]) + math.prod(shapes[2]))
    return 0


def _product(node: Any, shapes: list[list[int]], made: list[int]) -> int:
    """A size that inference did not find counts as 1 in one tensor, and may be known in another."""
    first, second = shapes[0] or [1], shapes[1] or [1]
    if _attribute(node, "transA", 0):
        first = first[::-1]
    if _attribute(node, "transB", 0):
        second = second[::-1]
    depth = max(first[-1], second[-2] if len(second) > 1 else second[-1])
    columns = max(made[-1] if made else 1, second[-1] if len(second) > 1 else 1)
    return depth * columns * max(math.prod(made[:-1]), math.prod(first[:-1]))


def _attribute(node: Any, name: str, default: Any) -> Any:
    import onnx

    found = next((one for one in node.attribute if one.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def _computes_on_quantized(node: Any, around: _Graph) -> bool:
    """Whether activations come from quantizers, and weights do too where the operator has some."""
    if node.op_type in _INTEGER:
        return True
    if node.op_type in MOVING | _QUANTIZERS | _LOOPS | _SIZES:
        return False
    if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        return all(_quantized(name, around) for name in node.input[:2])
    if node.op_type in _RECURRENT:
        return all(_quantized(name, around) for name in node.input[:3])
    activations = [name for name in node.input if name in around.nodes and not _is_constant(name, around)]
    return bool(activations) and all(_quantized(name, around) for name in activations)


def _quantized(name: str, around: _Graph) -> bool:
    node = around.nodes.get(name)
    if node is None:
        return False
    if node.op_type == "DequantizeLinear":
        return True
    if node.op_type == "Concat":
        return all(_quantized(one, around) for one in node.input)
    return node.op_type in MOVING and _quantized(node.input[0], around)


def _is_constant(name: str, around: _Graph) -> bool:
    """Whether a tensor is a stored weight behind its DequantizeLinear."""
    node = around.nodes[name]
    return node.op_type == "Constant" or (node.op_type == "DequantizeLinear" and node.input[0] not in around.nodes)
