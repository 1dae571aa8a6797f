"""How much of an OpenVINO model's arithmetic is in few bits, operator by operator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgekit.quantizer.methods.einsum import einsum_macs
from edgekit.quantizer.methods.openvino_ import LOW_BIT
from edgekit.quantizer.registry import LayerInfo, MacCount

if TYPE_CHECKING:
    import openvino

#: Operators that only move values: what they give is quantized when what they take is.
MOVING = {
    "BatchToSpace",
    "Broadcast",
    "Convert",
    "DepthToSpace",
    "Gather",
    "MaxPool",
    "Pad",
    "ReduceMax",
    "Relu",
    "Reshape",
    "ShuffleChannels",
    "Slice",
    "SpaceToBatch",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "StridedSlice",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "VariadicSplit",
}

#: Arithmetic that scales a stored weight, between its constant and its use.
_DECOMPRESSING = {"Convert", "Multiply", "Subtract"}

_CONVOLUTIONS = {"Convolution", "GroupConvolution"}
_BACKWARD = {"ConvolutionBackpropData", "GroupConvolutionBackpropData"}
_CELLS = {"GRUCell", "LSTMCell", "RNNCell"}
_SEQUENCES = {"GRUSequence", "LSTMSequence", "RNNSequence"}
_LOOPS = {"Loop", "TensorIterator"}
_SOURCES = {"Constant", "Parameter", "FakeQuantize", "ReadValue", "Result", "ShapeOf"}


def layers_openvino(model: openvino.Model) -> tuple[tuple[LayerInfo, ...], MacCount]:
    """Operators that compute on quantized values, in execution order, and the whole count.

    Args:
        model: with FakeQuantize, or with stored weights of few bits.
    """
    infos = []
    low = total = 0
    for op, times in _operators(_at_batch_one(model), 1):
        if op.get_input_size() and all(_is_stored(value.get_node()) for value in op.input_values()):
            continue  # the engine computes it once, when it loads the model
        macs = times * _macs(op)
        quantized = _computes_on_quantized(op)
        total += macs
        low += macs if quantized and macs else 0
        if quantized:
            infos.append(LayerInfo(op.get_friendly_name(), op.get_type_name(), macs))
    return tuple(infos), MacCount(low, total)


def _at_batch_one(model: openvino.Model) -> openvino.Model:
    """A copy whose sizes are known, every free one being 1; the model itself where it allows no such sizes."""
    if not model.is_dynamic():
        return model
    fixed = model.clone()  # constants are shared
    shapes = {
        port: [1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape()]
        for port in fixed.inputs
        if port.get_partial_shape().rank.is_static
    }
    try:
        fixed.reshape(shapes)
    except RuntimeError:  # sizes that depend on each other
        return model
    return fixed


def _operators(model: Any, times: int) -> Iterator[tuple[Any, int]]:
    """Every operator, with how often it runs in one inference; those of loops too."""
    for op in model.get_ordered_ops():
        if op.get_type_name() in _LOOPS:
            yield from _operators(op.get_function(), times * _iterations(op))
        else:
            yield op, times


def _iterations(op: Any) -> int:
    """Steps of a loop over slices of an input; 1 where nothing tells."""
    for described in op.get_input_descriptions():
        if described.get_type_info().name == "SliceInputDescription":
            shape = op.input_value(described.input_index).get_partial_shape()
            size = shape[described.axis]
            if size.is_static:
                return max(1, int(size.get_length()) // max(1, int(described.part_size)))
    return 1


def _macs(op: Any) -> int:
    kind = op.get_type_name()
    if kind in _CONVOLUTIONS:
        return math.prod(_shape(op.input_value(1))) * math.prod(_shape(op.output(0))[2:])
    if kind in _BACKWARD:
        return math.prod(_shape(op.input_value(1))) * math.prod(_shape(op.input_value(0))[2:])
    if kind == "MatMul":
        first = _shape(op.input_value(0))
        depth = first[-2] if op.get_attributes()["transpose_a"] and len(first) > 1 else first[-1]
        return math.prod(_shape(op.output(0))) * depth
    if kind == "ScaledDotProductAttention":
        query, key, value = (_shape(op.input_value(port)) for port in range(3))
        return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    if kind == "Einsum":
        return einsum_macs(op.get_attributes()["equation"], [_shape(value) for value in op.input_values()])
    if kind in _CELLS or kind in _SEQUENCES:
        steps = _shape(op.input_value(0))[1] if kind in _SEQUENCES else 1
        return steps * sum(math.prod(_shape(op.input_value(port))) for port in _recurrent_weights(op))
    return 0


def _recurrent_weights(op: Any) -> tuple[int, int]:
    """Inputs with the weights of the input and of the state, which stand behind the states."""
    first = {"LSTMCell": 3, "GRUCell": 2, "RNNCell": 2, "LSTMSequence": 4}.get(op.get_type_name(), 3)
    return first, first + 1


def _shape(port: Any) -> list[int]:
    """Sizes; one that is not known counts as 1."""
    return [1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape()]


def _computes_on_quantized(op: Any) -> bool:
    """Whether activations come from quantizers, and weights do too where the operator has some."""
    kind = op.get_type_name()
    if kind in MOVING | _SOURCES | _LOOPS | _DECOMPRESSING - {"Multiply", "Subtract"}:
        return False
    if kind in _CONVOLUTIONS | _BACKWARD | {"MatMul"}:
        return _quantized(op.input_value(0)) and _quantized(op.input_value(1))
    if kind in _CELLS | _SEQUENCES:
        ports = (0, *_recurrent_weights(op))
        return all(_quantized(op.input_value(port)) for port in ports)
    inputs = [value for value in op.input_values() if not _is_stored(value.get_node())]
    return bool(inputs) and all(_quantized(value, activations=True) for value in inputs)


def _quantized(port: Any, *, activations: bool = False) -> bool:
    """Whether a value comes from a quantizer, or is a weight that is stored in few bits."""
    node = port.get_node()
    kind = node.get_type_name()
    if kind == "FakeQuantize":
        return True
    if kind == "Constant":
        return not activations and node.get_element_type().get_type_name() in LOW_BIT
    if kind == "Concat":
        return all(_quantized(value, activations=activations) for value in node.input_values())
    if kind in MOVING or (kind in _DECOMPRESSING and not activations and _is_stored(node)):
        return _quantized(node.input_value(0), activations=activations)
    return False


def _is_stored(node: Any) -> bool:
    """Whether a value is a constant, moved and scaled at most."""
    while node.get_type_name() in _DECOMPRESSING | MOVING:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
