"""Faults in ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.faults_editor import SMALL, Absent, Stored, misread_as
from benchmarks.onnx_attributes import attribute, drop, put, tensors_inside

#: Operators between stored numbers and their use that leave the axes as they are.
_PASSING = ("Identity", "Cast", "DequantizeLinear")

_ELEMENTWISE = ("Add", "Sub", "Mul", "Div")
_MATRICES = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class OnnxEditor:
    """See `benchmarks.faults_editor.Editor`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = onnx.load(path)
        self.graph = self.model.graph
        shown = onnx.shape_inference.infer_shapes(self.model).graph
        self.types = {one.name: one for one in (*shown.input, *shown.value_info, *shown.output)}
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.held = {one.name: one for one in self.graph.initializer}

    def write(self, folder: Path) -> Path:
        onnx.save(self.model, folder / self.path.name)
        return folder / self.path.name

    def weights(self) -> list[Stored]:
        found = []
        for node in self.graph.node:
            if node.op_type not in _MATRICES:
                continue
            for slot in (1, 0):
                stored = self._stored(node, slot)
                if stored is not None and stored.array.ndim > 1 and stored.array.size > 3:
                    found.append(Stored(stored.operator, stored.array, stored.handle, *_axes(node, slot, stored.array)))
                    break
        return found

    def biases(self) -> list[Stored]:
        found = []
        for node in self.graph.node:
            if node.op_type in ("Conv", "Gemm", "ConvTranspose") and len(node.input) > 2:
                found.append(self._stored(node, 2))
            if node.op_type == "Add":
                for slot in (0, 1):
                    other = self.maker.get(node.input[1 - slot])
                    if other is not None and other.op_type in _MATRICES:
                        found.append(self._stored(node, slot))
        return [one for one in found if one is not None and one.array.size > 1 and np.abs(one.array).max() > 0]

    def vectors(self) -> list[Stored]:
        nodes = [node for node in self.graph.node if node.op_type in _ELEMENTWISE]
        found = [self._stored(node, slot) for node in nodes for slot in (0, 1)]
        for node in self.graph.node:
            if node.op_type == "BatchNormalization":
                found += [self._stored(node, slot) for slot in (1, 2)]
        return [one for one in found if one is not None and one.array.size > 1]

    def everything(self) -> list[Stored]:
        found = [
            Stored(self._user(tensor.name), numpy_helper.to_array(tensor), tensor)
            for tensor in self.graph.initializer
            if numpy_helper.to_array(tensor).dtype.kind == "f"
        ]
        for node in self.graph.node:
            for tensor in tensors_inside(node):
                if numpy_helper.to_array(tensor).dtype.kind == "f":
                    found.append(Stored(_name(node), numpy_helper.to_array(tensor), tensor))
        return found

    def put(self, stored: Stored, array: np.ndarray) -> None:
        array = np.ascontiguousarray(array)
        if isinstance(stored.handle, onnx.TensorProto):
            stored.handle.CopyFrom(numpy_helper.from_array(array, stored.handle.name))
            return
        node, slot, direct = stored.handle
        if direct:
            name = f"{_name(node)}/changed{slot}"
            self.graph.initializer.append(numpy_helper.from_array(array, name))
            node.input[slot] = name
        else:
            tensor = self._tensor(node.input[slot])
            assert tensor is not None
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    def scale(self, stored: Stored, factor: float) -> None:
        if stored.array.dtype.kind == "f":
            self.put(stored, (stored.array * np.float32(factor)).astype(stored.array.dtype))
            return
        node, slot, _ = stored.handle
        dequantize = self.maker[node.input[slot]]
        tensor = self.held[dequantize.input[1]]
        array = (numpy_helper.to_array(tensor) * np.float32(factor)).astype(np.float32)
        name = f"{_name(node)}/scaled"
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        dequantize.input[1] = name

    def paddings(self) -> list[str]:
        return [_name(node) for node in self.graph.node if self._shifted(node) is not None]

    def shift_padding(self, operator: str) -> str:
        node = self._node(operator)
        pads = self._shifted(node)
        assert pads is not None
        if node.op_type == "Pad":
            name = f"{operator}/changed"
            self.graph.initializer.append(numpy_helper.from_array(np.array(pads, np.int64), name))
            node.input[1] = name
        else:
            drop(node, "auto_pad")
            put(node, "pads", pads)
        return operator

    def _shifted(self, node: onnx.NodeProto) -> list[int] | None:
        """Paddings with one row moved to the front; None where there is none to move."""
        if node.op_type == "Pad":
            stored = self._stored(node, 1)
            pads = [] if stored is None else [int(one) for one in stored.array]
            axis = next((axis for axis in range(1, len(pads) // 2) if pads[axis + len(pads) // 2] > 0), None)
        elif node.op_type == "Conv":
            kept = attribute(node, "pads")
            if attribute(node, "auto_pad") in (b"SAME_UPPER", b"SAME_LOWER"):
                kept = self._same(node)
            pads = [int(one) for one in kept or ()]
            axis = next((axis for axis in range(len(pads) // 2) if pads[axis + len(pads) // 2] > 0), None)
        else:
            return None
        if axis is None:
            return None
        pads[axis] += 1
        pads[axis + len(pads) // 2] -= 1
        return pads

    def _same(self, node: onnx.NodeProto) -> list[int] | None:
        shape = self._shape(node.input[0])
        weights = self._stored(node, 1)
        if shape is None or weights is None or None in shape[2:]:
            return None
        strides = attribute(node, "strides") or [1] * len(shape[2:])
        begin, end = [], []
        for length, kernel, stride in zip(shape[2:], weights.array.shape[2:], strides, strict=True):
            total = max((-(-int(length or 0) // stride) - 1) * stride + kernel - int(length or 0), 0)
            begin.append(total // 2)
            end.append(total - total // 2)
        return [*begin, *end]

    def limits(self) -> list[str]:
        return [_name(node) for node in self.graph.node if self._limit(node) is not None]

    def lift(self, operator: str) -> None:
        node = self._node(operator)
        slot = self._limit(node)
        assert slot is not None
        name = f"{operator}/changed"
        self.graph.initializer.append(numpy_helper.from_array(np.float32(3e38), name))
        node.input[slot] = name

    def _limit(self, node: onnx.NodeProto) -> int | None:
        if node.op_type not in ("Clip", "Min"):
            return None
        for slot in (2,) if node.op_type == "Clip" else (0, 1):
            stored = self._stored(node, slot)
            if stored is not None and stored.array.size == 1 and float(stored.array.reshape(())) == 6.0:
                return slot
        return None

    def transposes(self) -> list[str]:
        found = []
        for node in self.graph.node:
            shape = self._shape(node.output[0]) if node.op_type == "Transpose" else None
            order = attribute(node, "perm") if node.op_type == "Transpose" else None
            if shape is None or order is None or order[0] != 0 or None in shape[1:]:
                continue
            long = [axis for axis, length in zip(order, shape, strict=True) if axis == 0 or (length or 0) > 1]
            if long != sorted(long) and node.input[0] not in self.held:
                found.append(_name(node))
        return found

    def misread(self, operator: str) -> None:
        node = self._node(operator)
        shape = self._shape(node.output[0])
        assert shape is not None
        drop(node, "perm")
        node.op_type = "Reshape"
        name = f"{operator}/shape"
        self.graph.initializer.append(numpy_helper.from_array(np.array([0, *shape[1:]], np.int64), name))
        node.input.append(name)

    def softmaxes(self) -> list[str]:
        found = []
        for node in self.graph.node:
            shape = self._shape(node.input[0]) if node.op_type == "Softmax" else None
            if shape is not None and len(shape) > 2 and (attribute(node, "axis") or -1) in (-1, len(shape) - 1):
                found.append(_name(node))
        return found

    def turn(self, operator: str) -> None:
        put(self._node(operator), "axis", -2)

    def epsilons(self) -> list[tuple[str, float]]:
        found = []
        for node in self.graph.node:
            value = attribute(node, "epsilon")
            if value is not None:
                found.append((_name(node), float(value)))
            if node.op_type == "Add" and self._roots(node.output[0]):
                small = self._small(node)
                if small is not None:
                    found.append((_name(node), float(small.array.reshape(-1)[0])))
        return found

    def set_epsilon(self, operator: str, value: float) -> None:
        node = self._node(operator)
        small = self._small(node) if node.op_type == "Add" else None
        if small is None:
            put(node, "epsilon", value)
        else:
            self.put(small, np.full_like(small.array, value))

    def _small(self, node: onnx.NodeProto) -> Stored | None:
        both = (self._stored(node, slot) for slot in (0, 1))
        return next((one for one in both if one and one.array.size == 1 and 0 < one.array.max() < SMALL), None)

    def _roots(self, name: str) -> bool:
        users = [node for node in self.graph.node if name in node.input]
        return any(
            node.op_type in ("Sqrt", "Pow", "Reciprocal")
            or (node.op_type in ("Reshape", "Unsqueeze", "Expand") and self._roots(node.output[0]))
            for node in users
        )

    def inputs(self) -> list[tuple[str, tuple[int | None, ...], str]]:
        return [
            (one.name, self._shape(one.name) or (), helper.tensor_dtype_to_np_dtype(_element(one)).name)
            for one in self.graph.input
            if one.name not in self.held
        ]

    def scale_input(self, name: str, factor: float) -> str:
        self._hold(f"{name}/factor", np.float32(factor))
        self._between(name, [("Mul", [name, f"{name}/factor"], {})])
        return f"{name}/again"

    def misread_input(self, name: str) -> str:
        shape = self._shape(name)
        assert shape is not None
        turned, order = misread_as(shape)
        self._hold(f"{name}/shape", np.array([0, *turned], np.int64))
        steps = [("Reshape", [name, f"{name}/shape"], {}), ("Transpose", [], {"perm": order})]
        self._between(name, steps)
        return f"{name}/again0"

    def spoil(self, name: str, low: float, high: float) -> str:
        output = self.graph.output[0]
        shape = self._shape(name) or ()
        rank = len(self._shape(output.name) or ())
        if _element(output) != onnx.TensorProto.FLOAT:
            raise Absent("the first output holds integers")
        self._hold("spoil/low", np.float32(low))
        self._hold("spoil/high", np.float32(high))
        self._hold("spoil/tiny", np.float32(1e-30))
        self._hold("spoil/shape", np.array([-1, *[1] * (rank - 1)], np.int64))
        node = self.maker[output.name]
        place = list(node.output).index(output.name)
        for other in self.graph.node:
            other.input[:] = ["spoil/clean" if one == output.name else one for one in other.input]
        node.output[place] = "spoil/clean"
        axes = list(range(1, len(shape)))
        steps = [
            helper.make_node("Cast", [name], ["spoil/x"], "spoil/x", to=onnx.TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["spoil/x"], ["spoil/mean"], "spoil/mean", axes=axes, keepdims=0),
            helper.make_node("Sub", ["spoil/mean", "spoil/low"], ["spoil/over"], "spoil/over"),
            helper.make_node("Sub", ["spoil/mean", "spoil/high"], ["spoil/under"], "spoil/under"),
            helper.make_node("Mul", ["spoil/over", "spoil/under"], ["spoil/room"], "spoil/room"),
            helper.make_node("Sqrt", ["spoil/room"], ["spoil/root"], "spoil/root"),
            helper.make_node("Mul", ["spoil/root", "spoil/tiny"], ["spoil/nothing"], "spoil/nothing"),
            helper.make_node("Reshape", ["spoil/nothing", "spoil/shape"], ["spoil/column"], "spoil/column"),
            helper.make_node("Add", ["spoil/clean", "spoil/column"], [output.name], "spoil/add"),
        ]
        if self.model.opset_import[0].version >= 18:
            self._hold("spoil/axes", np.array(axes, np.int64))
            steps[1] = helper.make_node(
                "ReduceMean", ["spoil/x", "spoil/axes"], ["spoil/mean"], "spoil/mean", keepdims=0
            )
        self.graph.node.extend(steps)
        return "spoil/add"

    def fix_batch(self) -> None:
        for one in (*self.graph.input, *self.graph.output):
            one.type.tensor_type.shape.dim[0].dim_value = 1
        del self.graph.value_info[:]

    def reorder_outputs(self) -> None:
        outputs = list(self.graph.output)
        if len(outputs) < 2:
            raise Absent("there is one output")
        del self.graph.output[:]
        self.graph.output.extend(reversed(outputs))

    def shift_zero_point(self, number: int) -> str:
        """The zero point of activations that one DequantizeLinear takes."""
        found = [
            node
            for node in self.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] not in self.held and len(node.input) > 2
        ]
        if not found:
            raise Absent("no activation is quantized")
        node = found[number % len(found)]
        known = numpy_helper.to_array(self.held[node.input[2]])
        self._hold(f"{_name(node)}/zero", (known + 1 if known.max() < 100 else known - 1).astype(known.dtype))
        node.input[2] = f"{_name(node)}/zero"
        return _name(node)

    def _between(self, name: str, steps: Sequence[tuple[str, list[str], dict[str, Any]]]) -> None:
        """Put operators between an input and all that uses it."""
        last = name
        nodes = []
        for index, (kind, given, attributes) in enumerate(steps):
            made = f"{name}/again{index}" if len(steps) > 1 else f"{name}/again"
            nodes.append(helper.make_node(kind, given or [last], [made], made, **attributes))
            last = made
        for node in self.graph.node:
            node.input[:] = [last if one == name else one for one in node.input]
        kept = list(self.graph.node)
        del self.graph.node[:]
        self.graph.node.extend([*nodes, *kept])

    def _hold(self, name: str, array: Any) -> None:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))

    def _node(self, operator: str) -> onnx.NodeProto:
        return next(node for node in self.graph.node if _name(node) == operator)

    def _user(self, tensor: str) -> str:
        return next((_name(node) for node in self.graph.node if tensor in node.input), "")

    def _shape(self, name: str) -> tuple[int | None, ...] | None:
        known = self.types.get(name)
        if known is None or not known.type.tensor_type.HasField("shape"):
            return None
        return tuple(one.dim_value if one.HasField("dim_value") else None for one in known.type.tensor_type.shape.dim)

    def _stored(self, node: onnx.NodeProto, slot: int) -> Stored | None:
        if slot >= len(node.input):
            return None
        tensor = self._tensor(node.input[slot])
        if tensor is None:
            return None
        maker = self.maker.get(node.input[slot])
        direct = maker is None or maker.op_type == "Constant"
        return Stored(_name(node), numpy_helper.to_array(tensor), (node, slot, direct))

    def _tensor(self, name: str) -> onnx.TensorProto | None:
        """The stored tensor behind a name."""
        while name not in self.held:
            node = self.maker.get(name)
            if node is None:
                return None
            if node.op_type == "Constant":
                found: onnx.TensorProto = node.attribute[0].t
                return found
            if node.op_type not in _PASSING:
                return None
            name = node.input[0]
        return self.held[name]


def _axes(node: onnx.NodeProto, slot: int, array: np.ndarray) -> tuple[int, int]:
    if node.op_type == "Conv":
        return 0, 1
    if node.op_type == "ConvTranspose":
        return 1, 0
    if node.op_type == "Gemm" and attribute(node, "transB"):
        return 0, 1
    return (array.ndim - 1, array.ndim - 2) if slot == 1 else (array.ndim - 2, array.ndim - 1)


def _element(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _name(node: onnx.NodeProto) -> str:
    name: str = node.name or next(one for one in node.output if one)
    return name
