"""What every table of OpenVINO operators needs: facts about a node, and the ONNX graph that is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx
    import openvino

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
