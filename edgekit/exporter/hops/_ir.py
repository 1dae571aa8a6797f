"""OpenVINO's graph to ONNX, operator by operator; the tables are in the modules ``_ir_*``.

Meanings follow OpenVINO's operation specifications (docs.openvino.ai, "Available Operation Sets") and ONNX' operator
list (onnx.ai/onnx/operators).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx
    import openvino

    from edgekit.types import Signature, TensorSpec

#: Writes one operator from the names of its inputs; returns the names of its outputs.
Translate = Callable[["Writer", Any, list[str]], "str | Sequence[str]"]

_TYPES = {
    "boolean": np.dtype(np.bool_),
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    **{f"{sign}{bits}": np.dtype(f"{long}{bits}") for sign, long in (("i", "int"), ("u", "uint")) for bits in (8, 16)},
    **{f"{sign}{bits}": np.dtype(f"{long}{bits}") for sign, long in (("i", "int"), ("u", "uint")) for bits in (32, 64)},
}


def unsupported(op: openvino.Node, why: str = "") -> ModelError:
    """The refusal of an operator: its type and the layer it stands for."""
    kind = f"{op.get_type_name()} ({op.get_type_info().version_id})"
    return ModelError(
        "unsupported-operator",
        f"this converter does not write {kind}{' with ' + why if why else ''} in ONNX.",
        received=f"operator {op.get_type_name()}, layer {op.get_friendly_name()}",
        hint="Choose another --route, or another --target.",
    )


def dtype_of(port: Any) -> np.dtype[Any]:
    """Numpy type of an input or output port.

    Raises:
        ModelError: numpy or ONNX lacks it.
    """
    name = port.get_element_type().get_type_name()
    if name not in _TYPES:
        raise unsupported(port.get_node(), f"the type {name}")
    return _TYPES[name]


def lengths(port: Any) -> list[int | None] | None:
    """Shape of a port with free dimensions as None; None for an unknown rank."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return [dim.get_length() if dim.is_static else None for dim in shape]


def rank_of(op: openvino.Node, index: int = 0) -> int:
    """Number of axes of an input.

    Raises:
        ModelError: it is not known.
    """
    found = lengths(op.input(index))
    if found is None:
        raise unsupported(op, "an input of unknown rank")
    return len(found)


def pin(model: openvino.Model, signature: Signature) -> None:
    """Fix the free dimensions that the signature fixes, in place; those that are fixed stay."""
    import openvino

    shapes = {}
    for index, (spec, port) in _pairs(signature.inputs, model.inputs):
        known = lengths(port) or [None] * len(spec.shape)
        fixed = [wanted if own is None else own for own, wanted in zip(known, spec.shape, strict=True)]
        if fixed != known:
            shapes[index] = openvino.PartialShape([-1 if length is None else length for length in fixed])
    if shapes:
        model.reshape(shapes)


class Writer:
    """Collects the nodes and constants of one ONNX graph; names are numbered, so equal models give equal files."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0

    def name(self) -> str:
        self._count += 1
        return f"edgekit_{self._count}"  # unlike any name of an input or output

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One node with one output; an empty input is one that is left out."""
        return self.add_many(kind, 1, *inputs, **attributes)[0]

    def add_many(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """One node with several outputs."""
        from onnx import helper

        made = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, made, name=f"{kind}_{made[0]}", **attributes))
        return made

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """The name of a constant; equal small ones are stored once."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes() if array.size <= 64 else b"")
        if array.size > 64 or key not in self._known:
            self._known[key] = self.name()
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def cast(self, value: str, dtype: Any) -> str:
        from onnx import helper

        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def int64(self, op: openvino.Node, index: int, value: str) -> str:
        """An input of shapes or axes in the one type that ONNX takes for them."""
        known = self.static(op, index)
        if known is not None:
            return self.constant(known)
        return value if dtype_of(op.input(index)) == np.int64 else self.cast(value, np.int64)

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", value, self.constant(list(shape)))

    def transpose(self, value: str, order: Sequence[int]) -> str:
        return self.add("Transpose", value, perm=list(order))

    def static(self, op: openvino.Node, index: int) -> np.ndarray | None:
        """The value of a constant input; None where it is computed."""
        if index >= op.get_input_size():
            return None
        source = op.input_value(index).get_node()
        if source.get_type_name() == "Convert" and source.input_value(0).get_node().get_type_name() == "Constant":
            inner = source.input_value(0).get_node()
            return np.asarray(inner.data).astype(dtype_of(source.output(0)))
        return np.asarray(source.data) if source.get_type_name() == "Constant" else None

    def needed(self, op: openvino.Node, index: int, what: str) -> np.ndarray:
        """The value of an input that must be constant.

        Raises:
            ModelError: it is computed.
        """
        value = self.static(op, index)
        if value is None:
            raise unsupported(op, f"{what} that are computed")
        return value


def translate(model: openvino.Model, signature: Signature, opset: int) -> onnx.ModelProto:
    """An ONNX model with the inputs and outputs of a signature, which has them in the graph's order.

    Raises:
        ModelError: an operator, or a form of it, that is not in the tables.
    """
    from onnx import helper

    writer = Writer()
    names: dict[tuple[str, int], str] = {}
    for parameter, spec in zip(model.get_parameters(), signature.inputs, strict=True):
        names[parameter.get_name(), 0] = spec.name
    for op in model.get_ordered_ops():
        if op.get_type_name() not in ("Parameter", "Result"):
            sources = [op.input_value(index) for index in range(op.get_input_size())]
            made = _write(writer, op, [names[source.get_node().get_name(), source.get_index()] for source in sources])
            names |= {(op.get_name(), index): name for index, name in enumerate(made)}
    for result, spec in zip(model.get_results(), signature.outputs, strict=True):
        source = result.input_value(0)
        inner = names[source.get_node().get_name(), source.get_index()]
        writer.nodes.append(helper.make_node("Identity", [inner], [spec.name]))
    inputs = [_value(spec.name, port, f"size{index}") for index, (spec, port) in _pairs(signature.inputs, model.inputs)]
    outputs = [
        _value(spec.name, port, f"length{index}") for index, (spec, port) in _pairs(signature.outputs, model.outputs)
    ]
    graph = helper.make_graph(writer.nodes, "model", inputs, outputs, writer.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _pairs(specs: Sequence[TensorSpec], ports: Sequence[Any]) -> Iterable[tuple[int, tuple[TensorSpec, Any]]]:
    return enumerate(zip(specs, ports, strict=True))


def _write(writer: Writer, op: openvino.Node, inputs: list[str]) -> list[str]:
    from edgekit.exporter.hops import _ir_layers, _ir_math, _ir_recurrent, _ir_shape  # they import this module

    kind = op.get_type_name()
    if kind == "Constant":
        dtype = dtype_of(op.output(0))
        return [writer.constant(np.asarray(op.data).astype(dtype), dtype)]
    tables = (_ir_math.OPERATORS, _ir_shape.OPERATORS, _ir_layers.OPERATORS, _ir_recurrent.OPERATORS)
    found = next((table[kind] for table in tables if kind in table), None)
    if found is None:
        raise unsupported(op)
    made = found(writer, op, inputs)
    return [made] if isinstance(made, str) else list(made)


def _value(name: str, port: Any, prefix: str) -> onnx.ValueInfoProto:
    """An input or output: the first free axis is the batch, others are symbols of their own."""
    from onnx import helper

    shape = lengths(port)
    kind = helper.np_dtype_to_tensor_dtype(dtype_of(port))
    if shape is None:
        return helper.make_tensor_value_info(name, kind, None)
    symbols = ["batch", *(f"{prefix}_{axis}" for axis in range(1, len(shape)))]
    return helper.make_tensor_value_info(
        name, kind, [symbol if length is None else length for symbol, length in zip(symbols, shape, strict=True)]
    )
