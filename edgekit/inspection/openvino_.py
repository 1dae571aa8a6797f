"""Reads OpenVINO IR."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.inspection.facts import Graph, precision_of

if TYPE_CHECKING:
    import openvino

#: Element types of weights, as numpy names.
_DTYPES = {
    "f16": "float16", "f32": "float32", "f64": "float64", "bf16": "bfloat16",
    "i4": "int4", "u4": "uint4", "nf4": "int4", "i8": "int8", "u8": "uint8",
}  # fmt: skip

#: Nodes that carry data in and out and compute nothing.
_PLUMBING = {"Parameter", "Result", "Constant"}


def read(path: Path) -> Graph:
    """Describe an ``.xml`` file; its ``.bin`` lies beside it."""
    import openvino

    model = openvino.Core().read_model(path)
    operators = Counter(node.get_type_name() for node in model.get_ops())
    weights = _weights(model)
    head = path.read_bytes()[:4096].decode("utf-8", errors="replace")
    version = re.search(r'<net [^>]*version="(\d+)"', head)
    return Graph(
        parameters=sum(count for dtype, count in weights if dtype not in ("i32", "i64")),
        operators={name: count for name, count in operators.most_common() if name not in _PLUMBING},
        precision=_precision({dtype for dtype, _ in weights}, operators),
        format={**({"IR": version.group(1)} if version else {}), **_opset(path)},
        flops=_flops(model),
    )


def _opset(path: Path) -> dict[str, str]:
    """The newest operation set that a layer of the file is of."""
    found = [int(number) for number in re.findall(r'<layer [^>]*version="opset(\d+)"', path.read_text())]
    return {"opset": str(max(found))} if found else {}


def _flops(model: openvino.Model) -> int | None:
    """See `edgekit.inspection.facts.Graph`."""
    if any(port.partial_shape[axis].is_dynamic for port in model.inputs for axis in range(1, _rank(port))):
        return None
    model.reshape({port: _one_sample(port) for port in model.inputs})
    return sum(_of_node(node) for node in model.get_ordered_ops())


def _rank(port: openvino.Output) -> int:
    return 0 if port.partial_shape.rank.is_dynamic else len(port.partial_shape)


def _one_sample(port: openvino.Output) -> list[int]:
    return [1 if axis == 0 else length.get_length() for axis, length in enumerate(port.partial_shape)]


def _of_node(node: openvino.Node) -> int:
    kind = node.get_type_name()
    first, result = list(node.input(0).get_partial_shape()) if node.inputs() else [], node.output(0)
    if kind == "MatMul":
        axis = -2 if node.get_attributes()["transpose_a"] and len(first) > 1 else -1
        return 2 * _product([*result.get_partial_shape(), first[axis]])
    if kind in _KERNEL_AXIS:
        kernel = list(node.input(1).get_partial_shape())[_KERNEL_AXIS[kind] :]
        return 2 * _product([*(first if "Backprop" in kind else result.get_partial_shape()), *kernel])
    if kind in _RECURRENT:
        at = _RECURRENT[kind]
        per_step = sum(_product(node.input(index).get_partial_shape()) for index in (at, at + 1))
        return 2 * per_step * _product(first[:2])  # (batch, steps, features)
    return 0


#: First axis of the kernel that is summed over for one element.
_KERNEL_AXIS = {
    "Convolution": 1, "GroupConvolution": 2, "ConvolutionBackpropData": 1, "GroupConvolutionBackpropData": 2,
}  # fmt: skip

#: Input that holds the first matrix of a recurrent layer.
_RECURRENT = {"LSTMSequence": 4, "GRUSequence": 3, "RNNSequence": 3}


def _product(lengths: Iterable[openvino.Dimension]) -> int:
    return prod(int(length.get_length()) if length.is_static else 1 for length in lengths)


def _precision(weights: set[str], operators: Mapping[str, int]) -> str | None:
    dtypes = {_DTYPES[dtype] for dtype in weights if dtype in _DTYPES}
    return precision_of(dtypes, quantized_activations="FakeQuantize" in operators)


def _weights(model: openvino.Model) -> list[tuple[str, int]]:
    """Element type and count of every constant that is more than a single number."""
    found = []
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            count = prod(node.get_output_shape(0))
            if count > 1:
                found.append((node.get_output_element_type(0).get_type_name(), count))
    return found
