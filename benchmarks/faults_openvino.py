"""Faults in OpenVINO IR files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from benchmarks.faults_editor import SMALL, Absent, Stored, misread_as

#: Operators between stored numbers and their use that leave the axes as they are.
_PASSING = ("Convert", "Multiply", "Subtract", "FakeQuantize")

_ELEMENTWISE = ("Add", "Subtract", "Multiply", "Divide")
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_MATRICES = (*_CONVOLUTIONS, "ConvolutionBackpropData", "MatMul")


class OpenVinoEditor:
    """See `benchmarks.faults_editor.Editor`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = openvino.Core().read_model(path)
        self.operators = self.model.get_ordered_ops()

    def write(self, folder: Path) -> Path:
        openvino.save_model(self.model, folder / self.path.name, compress_to_fp16=False)
        return folder / self.path.name

    def weights(self) -> list[Stored]:
        found = []
        for op in self.operators:
            if op.get_type_name() not in _MATRICES:
                continue
            for slot in (1, 0):
                stored = _stored(op, slot)
                if stored is not None and stored.array.ndim > 1 and stored.array.size > 3:
                    found.append(Stored(stored.operator, stored.array, stored.handle, *_axes(op, slot, stored.array)))
                    break
        return found

    def biases(self) -> list[Stored]:
        found = []
        for op in self.operators:
            if op.get_type_name() == "Add":
                for slot in (0, 1):
                    if op.input_value(1 - slot).get_node().get_type_name() in _MATRICES:
                        found.append(_stored(op, slot))
        return [one for one in found if one is not None and one.array.size > 1 and np.abs(one.array).max() > 0]

    def vectors(self) -> list[Stored]:
        found = [_stored(op, slot) for op in self.operators if op.get_type_name() in _ELEMENTWISE for slot in (0, 1)]
        return [one for one in found if one is not None and one.array.size > 1]

    def everything(self) -> list[Stored]:
        return list(_everything(self.operators, None))

    def put(self, stored: Stored, array: np.ndarray) -> None:
        port = stored.handle
        made = ops.constant(np.ascontiguousarray(array.astype(stored.array.dtype)))
        port.replace_source_output(made.output(0))

    def scale(self, stored: Stored, factor: float) -> None:
        if stored.array.dtype.kind == "f":
            self.put(stored, stored.array * np.float32(factor))
            return
        op = stored.handle.get_node()
        while op.get_type_name() not in ("Multiply", *_MATRICES):
            (port, *_) = op.output(0).get_target_inputs()
            op = port.get_node()
        if op.get_type_name() != "Multiply":
            raise Absent("the scale of the weights is not stored beside them")
        known = _stored(op, 1)
        assert known is not None
        self.put(known, known.array * np.float32(factor))

    def paddings(self) -> list[str]:
        return [op.get_friendly_name() for op in self.operators if _shifted(op) is not None]

    def shift_padding(self, operator: str) -> str:
        op = self._operator(operator)
        pads = _shifted(op)
        assert pads is not None
        if op.get_type_name() == "Pad":
            for slot, values in zip((1, 2), pads, strict=True):
                op.input(slot).replace_source_output(ops.constant(np.array(values, np.int64)).output(0))
            return operator
        op.set_attribute("auto_pad", "explicit")
        op.set_attribute("pads_begin", pads[0])
        op.set_attribute("pads_end", pads[1])
        return operator

    def limits(self) -> list[str]:
        return [
            op.get_friendly_name()
            for op in self.operators
            if (op.get_type_name() == "Clamp" and op.get_attributes()["max"] == 6) or _six(op) is not None
        ]

    def lift(self, operator: str) -> None:
        op = self._operator(operator)
        if op.get_type_name() == "Clamp":
            op.set_attribute("max", 3e38)
            return
        stored = _six(op)
        assert stored is not None
        self.put(stored, np.full_like(stored.array, 3e38))

    def transposes(self) -> list[str]:
        found = []
        for op in self.operators:
            order = _stored(op, 1) if op.get_type_name() == "Transpose" else None
            if order is None or order.array[0] != 0:
                continue
            shape = op.get_output_partial_shape(0)
            if any(one.is_dynamic for one in list(shape)[1:]):
                continue
            pairs = zip(order.array.tolist(), shape, strict=True)
            long = [axis for axis, length in pairs if axis == 0 or length.get_length() > 1]
            if long != sorted(long) and op.input_value(0).get_node().get_type_name() != "Constant":
                found.append(op.get_friendly_name())
        return found

    def misread(self, operator: str) -> None:
        op = self._operator(operator)
        shape = [0, *(one.get_length() for one in list(op.get_output_partial_shape(0))[1:])]
        made = ops.reshape(op.input_value(0), ops.constant(np.array(shape, np.int64)), True, name=operator)
        names = op.output(0).get_names()
        for port in op.output(0).get_target_inputs():
            port.replace_source_output(made.output(0))
        op.set_friendly_name(f"{operator}/before")
        made.set_friendly_name(operator)
        made.output(0).get_tensor().set_names(names)

    def softmaxes(self) -> list[str]:
        found = []
        for op in self.operators:
            if op.get_type_name() == "Softmax":
                rank = op.get_output_partial_shape(0).rank.get_length()
                if rank > 2 and op.get_attributes()["axis"] in (-1, rank - 1):
                    found.append(op.get_friendly_name())
        return found

    def turn(self, operator: str) -> None:
        op = self._operator(operator)
        op.set_attribute("axis", op.get_output_partial_shape(0).rank.get_length() - 2)

    def epsilons(self) -> list[tuple[str, float]]:
        found = []
        for op in self.operators:
            value = _epsilon(op)
            if value is not None:
                found.append((op.get_friendly_name(), value))
        return found

    def set_epsilon(self, operator: str, value: float) -> None:
        op = self._operator(operator)
        small = _small(op)
        if small is not None:
            self.put(small, np.full_like(small.array, value))
        else:
            op.set_attribute("eps" if op.get_type_name() == "MVN" else "epsilon", value)

    def inputs(self) -> list[tuple[str, tuple[int | None, ...], str]]:
        return [
            (
                min(port.get_names(), key=lambda text: (len(text), text)),
                tuple(None if one.is_dynamic else one.get_length() for one in port.get_partial_shape()),
                np.dtype(port.get_element_type().to_dtype()).name,
            )
            for port in self.model.inputs
        ]

    def scale_input(self, name: str, factor: float) -> str:
        port = self._input(name)
        uses = list(port.get_target_inputs())
        made = ops.multiply(port, ops.constant(np.float32(factor)), name=f"{name}/again")
        return _between(uses, made)

    def misread_input(self, name: str) -> str:
        port = self._input(name)
        shape = [one.get_length() for one in list(port.get_partial_shape())[1:]]
        uses = list(port.get_target_inputs())
        turned, order = misread_as((0, *shape))
        first = ops.reshape(port, ops.constant(np.array([0, *turned])), True, name=f"{name}/again0")
        return _between(uses, ops.transpose(first, ops.constant(np.array(order)), name=f"{name}/again1"), first)

    def spoil(self, name: str, low: float, high: float) -> str:
        result = self.model.get_results()[0]
        clean = result.input_value(0)
        if clean.get_element_type() != openvino.Type.f32:
            raise Absent("the first output holds integers")
        names = clean.get_names()
        port = self._input(name)
        axes = ops.constant(np.arange(1, port.get_partial_shape().rank.get_length()))
        mean = ops.reduce_mean(ops.convert(port, "f32"), axes, False, name="spoil/mean")
        over, under = (ops.subtract(mean, ops.constant(np.float32(limit))) for limit in (low, high))
        root = ops.sqrt(ops.multiply(over, under), name="spoil/root")
        nothing = ops.multiply(root, ops.constant(np.float32(1e-30)), name="spoil/nothing")
        rank = clean.get_partial_shape().rank.get_length()
        column = ops.reshape(nothing, ops.constant(np.array([-1, *[1] * (rank - 1)])), False, name="spoil/column")
        spoiled = ops.add(clean, column, name="spoil/add")
        result.input(0).replace_source_output(spoiled.output(0))
        clean.get_tensor().set_names({"spoil/clean"})
        spoiled.output(0).get_tensor().set_names(names)
        return "spoil/add"

    def fix_batch(self) -> None:
        self.model.reshape({port: [1, *list(port.get_partial_shape())[1:]] for port in self.model.inputs})

    def reorder_outputs(self) -> None:
        results = list(self.model.get_results())
        if len(results) < 2:
            raise Absent("there is one output")
        self.model = openvino.Model(results[::-1], self.model.get_parameters(), self.model.get_friendly_name())

    def shift_zero_point(self, number: int) -> str:
        """What one FakeQuantize gives is moved by one of its steps."""
        found = [
            op
            for op in self.operators
            if op.get_type_name() == "FakeQuantize" and op.input_value(0).get_node().get_type_name() != "Constant"
        ]
        if not found:
            raise Absent("no activation is quantized")
        op = found[number % len(found)]
        low, high = (_stored(op, slot) for slot in (3, 4))
        assert low is not None
        assert high is not None
        step = (high.array - low.array) / (op.get_attributes()["levels"] - 1)
        self.put(low, low.array + step)
        self.put(high, high.array + step)
        return str(op.get_friendly_name())

    def _operator(self, name: str) -> Any:
        return next(op for op in self.operators if op.get_friendly_name() == name)

    def _input(self, name: str) -> Any:
        return next(port for port in self.model.inputs if name in port.get_names())


def _between(uses: list[Any], made: Any, first: Any = None) -> str:
    for port in uses:
        port.replace_source_output(made.output(0))
    return str((first or made).get_friendly_name())


def _stored(op: Any, slot: int) -> Stored | None:
    """Stored numbers that an operator takes; the handle is the port to put others into."""
    if slot >= len(op.inputs()):
        return None
    port = op.input(slot)
    node = port.get_source_output().get_node()
    while node.get_type_name() in _PASSING:
        port = node.input(0)
        node = port.get_source_output().get_node()
    if node.get_type_name() != "Constant" or node.get_element_type() == openvino.Type.bf16:
        return None
    return Stored(op.get_friendly_name(), np.array(node.data), port)


def _everything(operators: Any, around: str | None) -> Iterator[Stored]:
    for op in operators:
        if op.get_type_name() in ("TensorIterator", "Loop"):
            yield from _everything(op.get_function().get_ordered_ops(), around or op.get_friendly_name())
        for port in op.inputs():
            node = port.get_source_output().get_node()
            if node.get_type_name() == "Constant" and node.get_element_type() == openvino.Type.f32:
                yield Stored(around or op.get_friendly_name(), np.array(node.data), port)


def _axes(op: Any, slot: int, array: np.ndarray) -> tuple[int, int]:
    kind = op.get_type_name()
    if kind in _CONVOLUTIONS:
        return 0, 1
    if kind == "ConvolutionBackpropData":
        return 1, 0
    turned = op.get_attributes()["transpose_b" if slot == 1 else "transpose_a"]
    last, before = array.ndim - 1, array.ndim - 2
    return (last, before) if (slot == 1) != bool(turned) else (before, last)


def _shifted(op: Any) -> tuple[list[int], list[int]] | None:
    """Paddings with one row moved to the front; None where there is none to move."""
    if op.get_type_name() == "Pad":
        stored = [_stored(op, slot) for slot in (1, 2)]
        if None in stored:
            return None
        begin, end = ([int(value) for value in one.array] for one in stored if one is not None)
        start = 1
    elif op.get_type_name() in _CONVOLUTIONS:
        begin, end = (list(op.get_attributes()[name]) for name in ("pads_begin", "pads_end"))
        start = 0
    else:
        return None
    axis = next((axis for axis in range(start, len(end)) if end[axis] > 0), None)
    if axis is None:
        return None
    begin[axis] += 1
    end[axis] -= 1
    return begin, end


def _six(op: Any) -> Stored | None:
    if op.get_type_name() != "Minimum":
        return None
    both = (_stored(op, slot) for slot in (0, 1))
    return next((one for one in both if one is not None and one.array.size == 1 and one.array.max() == 6), None)


def _epsilon(op: Any) -> float | None:
    small = _small(op)
    if small is not None:
        return float(small.array.reshape(-1)[0])
    kind = op.get_type_name()
    if kind == "MVN":
        return float(op.get_attributes()["eps"])
    return float(op.get_attributes()["epsilon"]) if kind == "BatchNormInference" else None


def _small(op: Any) -> Stored | None:
    """A small number that is added under a root."""
    if op.get_type_name() != "Add":
        return None
    if not _roots(op):
        return None
    both = (_stored(op, slot) for slot in (0, 1))
    return next((one for one in both if one and one.array.size == 1 and 0 < one.array.max() < SMALL), None)


def _roots(op: Any) -> bool:
    users = [port.get_node() for port in op.output(0).get_target_inputs()]
    return any(
        one.get_type_name() in ("Sqrt", "Power")
        or (one.get_type_name() in ("Reshape", "Unsqueeze", "Broadcast") and _roots(one))
        for one in users
    )
