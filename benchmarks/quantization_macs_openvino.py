"""Multiply-accumulates of an OpenVINO model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.quantization_macs import NONE, Macs, einsum, product, times, total

#: What makes no new number.
_MOVES = ("Relu",
          "Reshape", "Transpose", "Squeeze", "Unsqueeze", "MaxPool", "Split", "VariadicSplit", "Slice", "Tile", "Pad",
          "StridedSlice", "Gather", "Concat", "Broadcast", "DepthToSpace", "SpaceToDepth")  # fmt: skip

#: A stored integer is unpacked by these.
_UNPACKS = ("Convert", "Subtract", "Multiply", "Reshape", "Transpose", "Unsqueeze", "Squeeze")

_SMALL = ("i8", "u8", "i4", "u4", "i2", "u2")


def count(path: Path, steps: int) -> Macs:
    import openvino

    model = openvino.Core().read_model(path)
    sizes = {port: [1 if dim.is_dynamic else dim.get_length() for dim in port.partial_shape] for port in model.inputs}
    model.reshape(sizes)
    return _in_graph(model, steps)


def _in_graph(model: Any, steps: int) -> Macs:
    return total(_of(node, steps) for node in model.get_ordered_ops())


def _of(node: Any, steps: int) -> Macs:
    kind = node.get_type_name()
    if kind in ("Loop", "TensorIterator"):
        return times(_in_graph(node.get_function(), steps), steps)
    macs = _macs(kind, node)
    if not macs:
        return NONE
    operands = [node.input_value(port).get_node() for port in _operands(kind, node)]
    if all(_constant(one) for one in operands):
        return NONE
    low = all(_quantized(one) for one in operands)
    return Macs(macs if low else 0, macs)


def _operands(kind: str, node: Any) -> list[int]:
    """Places of what is multiplied."""
    if kind == "ScaledDotProductAttention":
        return [0, 1, 2]
    if _recurrent(kind):
        return [0, *_matrices(node)]
    return [0, 1]


def _macs(kind: str, node: Any) -> int:
    if kind == "Convolution":
        return product(node.output(0).shape) * product(_shape(node, 1)[1:])
    if kind == "GroupConvolution":
        return product(node.output(0).shape) * product(_shape(node, 1)[2:])
    if kind == "ConvolutionBackpropData":
        return product(_shape(node, 0)) * product(_shape(node, 1)[1:])
    if kind == "MatMul":
        rows = _shape(node, 0)
        inner = rows[-2] if node.get_attributes()["transpose_a"] and len(rows) > 1 else rows[-1]
        return product(node.output(0).shape) * inner
    if kind == "Einsum":
        return einsum(node.get_attributes()["equation"], [_shape(node, port) for port in range(node.get_input_size())])
    if kind == "ScaledDotProductAttention":
        query, key, value = (_shape(node, port) for port in range(3))
        return product(query[:-1]) * key[-2] * (query[-1] + value[-1])
    if _recurrent(kind):
        runs = _shape(node, 0)[1] if "Sequence" in kind else 1
        return runs * sum(product(_shape(node, port)) for port in _matrices(node))
    return 0


def _recurrent(kind: str) -> bool:
    return kind.endswith(("Cell", "Sequence")) and kind.startswith(("LSTM", "GRU", "RNN"))


def _matrices(node: Any) -> list[int]:
    """Places of a recurrent cell's weights: a multiple of its size high, which its states are not."""
    hidden = node.get_attributes()["hidden_size"]
    shapes = {port: _shape(node, port) for port in range(1, node.get_input_size())}
    return [port for port, shape in shapes.items() if len(shape) > 1 and shape[-2] > hidden and shape[-2] % hidden == 0]


def _shape(node: Any, port: int) -> list[int]:
    return [dim.get_length() if dim.is_static else 1 for dim in node.input_value(port).get_partial_shape()]


def _quantized(node: Any) -> bool:
    kind = node.get_type_name()
    if kind == "FakeQuantize":
        return bool(node.get_attributes()["levels"] <= 256)
    if _stored_integer(node):
        return True
    if kind == "Concat":
        return all(_quantized(node.input_value(port).get_node()) for port in range(node.get_input_size()))
    return kind in _MOVES and _quantized(node.input_value(0).get_node())


def _constant(node: Any) -> bool:
    """Whether a value is that of a constant, moved, quantized or unpacked."""
    while node.get_type_name() in (*_MOVES, *_UNPACKS, "FakeQuantize"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")


def _stored_integer(node: Any) -> bool:
    while node.get_type_name() in _UNPACKS:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and node.get_element_type().get_type_name() in _SMALL
