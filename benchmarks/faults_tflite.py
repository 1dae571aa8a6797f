"""Faults in TFLite files: the flatbuffer is changed as objects."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.faults_editor import SMALL, Absent, Stored, misread_as
from edgekit.surgery.tflite_ import _Model

#: Numbers of the schema.
_KINDS = vars(schema.BuiltinOperator)
_DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8, "INT32": np.int32, "INT64": np.int64}
_TYPES = {getattr(schema.TensorType, name): dtype for name, dtype in _DTYPES.items()}

#: Axes of output and input channels of a kernel.
_KERNELS = {"CONV_2D": (0, 3), "DEPTHWISE_CONV_2D": (3, 0), "FULLY_CONNECTED": (0, 1), "TRANSPOSE_CONV": (0, 3)}

_ELEMENTWISE = ("ADD", "SUB", "MUL", "DIV")
_SAME, _VALID = 0, 1


class TfliteEditor:
    """See `benchmarks.faults_editor.Editor`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = _Model(path)  # the names are those that edgekit tells
        self.main = self.file.main
        self.tensors = self.main.tensors
        for graph in self.file.model.subgraphs:
            for op in graph.operators:  # what was read is read-only
                op.inputs, op.outputs = np.array(op.inputs), np.array(op.outputs)
        self.operators = list(self.main.operators)

    def write(self, folder: Path) -> Path:
        return self.file.write(self.path, folder)

    def weights(self) -> list[Stored]:
        found = []
        for op in self.operators:
            kind = self._kind(op)
            stored = self._stored(op, 1) if kind in (*_KERNELS, "BATCH_MATMUL") else None
            if stored is not None and stored.array.ndim > 1:
                last = stored.array.ndim - 1
                axes = _KERNELS.get(kind, (last, last - 1))
                found.append(Stored(stored.operator, stored.array, stored.handle, *axes))
        return found

    def biases(self) -> list[Stored]:
        found = []
        makers = {int(index): op for op in self.operators for index in op.outputs}
        for op in self.operators:
            kind = self._kind(op)
            if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
                found.append(self._stored(op, 2))
            if kind == "ADD":
                for slot in (0, 1):
                    maker = makers.get(int(op.inputs[1 - slot]))
                    if maker is not None and self._kind(maker) in (*_KERNELS, "BATCH_MATMUL"):
                        found.append(self._stored(op, slot))
        return [one for one in found if one is not None and one.array.size > 1 and np.abs(one.array).max() > 0]

    def vectors(self) -> list[Stored]:
        found = [self._stored(op, slot) for op in self.operators if self._kind(op) in _ELEMENTWISE for slot in (0, 1)]
        return [one for one in found if one is not None and one.array.size > 1]

    def everything(self) -> list[Stored]:
        found = []
        for graph in self.file.model.subgraphs:
            inside = graph is not self.main
            around = next((self._name(op) for op in self.operators if inside and self._kind(op) == "WHILE"), "")
            for op in graph.operators:
                for slot in range(len(op.inputs)):
                    stored = self._stored(op, slot, graph)
                    if stored is not None and stored.array.dtype == np.float32:
                        name = around if inside else stored.operator
                        found.append(Stored(name, stored.array, stored.handle))
        return found

    def put(self, stored: Stored, array: np.ndarray) -> None:
        op, slot, graph = stored.handle
        tensor = copy(graph.tensors[int(op.inputs[slot])])
        tensor.name = b"changed " + (tensor.name or b"")
        tensor.buffer = self._buffer(array.astype(stored.array.dtype))
        op.inputs[slot] = self._add(tensor, graph)

    def scale(self, stored: Stored, factor: float) -> None:
        if stored.array.dtype.kind == "f":
            self.put(stored, stored.array * np.float32(factor))
            return
        self.put(stored, stored.array)
        op, slot, graph = stored.handle
        tensor = graph.tensors[int(op.inputs[slot])]
        tensor.quantization = copy(tensor.quantization)
        tensor.quantization.scale = (np.asarray(tensor.quantization.scale) * factor).astype(np.float32)

    def paddings(self) -> list[str]:
        return [self._name(op) for op in self.operators if self._shifted(op) is not None]

    def shift_padding(self, operator: str) -> str:
        op = self._operator(operator)
        pads = self._shifted(op)
        assert pads is not None
        if self._kind(op) == "PAD":
            stored = self._stored(op, 1)
            assert stored is not None
            self.put(stored, pads)
            return operator
        source = self.tensors[int(op.inputs[0])]
        padded = self._like(source, f"{operator}/padded", np.asarray(source.shape) + pads.sum(axis=1))
        self._insert(self._index(op), "PAD", [int(op.inputs[0]), self._hold(pads)], padded, schema.PadOptionsT())
        op.inputs[0] = padded
        op.builtinOptions.padding = _VALID
        return f"{operator}/padded"

    def _shifted(self, op: Any) -> np.ndarray | None:
        """Paddings by axis with one row moved to the front; None where there is none to move."""
        kind = self._kind(op)
        if kind == "PAD":
            stored = self._stored(op, 1)
            pads = np.zeros((0, 2), np.int32) if stored is None else stored.array.copy()
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and op.builtinOptions.padding == _SAME:
            pads = self._same(op)
        else:
            return None
        axis = next((axis for axis in range(1, len(pads)) if pads[axis, 1] > 0), None)
        if axis is None:
            return None
        pads[axis] += (1, -1)
        return pads

    def _same(self, op: Any) -> np.ndarray:
        shape, kernel = (self.tensors[int(op.inputs[slot])].shape for slot in (0, 1))
        options = op.builtinOptions
        pads = np.zeros((4, 2), np.int32)
        for axis, stride, dilation in (
            (1, options.strideH, options.dilationHFactor),
            (2, options.strideW, options.dilationWFactor),
        ):
            total = max((-(-shape[axis] // stride) - 1) * stride + (kernel[axis] - 1) * dilation + 1 - shape[axis], 0)
            pads[axis] = total // 2, total - total // 2
        return pads

    def limits(self) -> list[str]:
        return [self._name(op) for op in self.operators if self._limit(op) is not None]

    def lift(self, operator: str) -> None:
        op = self._operator(operator)
        how = self._limit(op)
        if how == "fused":
            op.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU
        elif how == "RELU6":
            op.opcodeIndex = self._code("RELU")
        else:
            stored = self._stored(op, 1)
            assert stored is not None
            self.put(stored, np.full_like(stored.array, 3e38))

    def _limit(self, op: Any) -> str | None:
        if getattr(op.builtinOptions, "fusedActivationFunction", 0) == schema.ActivationFunctionType.RELU6:
            return "fused"
        kind = self._kind(op)
        if kind == "RELU6":
            return kind
        stored = self._stored(op, 1) if kind == "MINIMUM" else None
        six = stored is not None and stored.array.size == 1 and float(stored.array.max()) == 6
        return "MINIMUM" if six else None

    def transposes(self) -> list[str]:
        found = []
        for op in self.operators:
            order = self._stored(op, 1) if self._kind(op) == "TRANSPOSE" else None
            if order is None or order.array[0] != 0 or self.file._is_stored(int(op.inputs[0])):
                continue
            lengths = self.tensors[int(op.outputs[0])].shape
            pairs = zip(order.array.tolist(), lengths, strict=True)
            long = [axis for axis, length in pairs if axis == 0 or length > 1]
            if long != sorted(long):
                found.append(self._name(op))
        return found

    def misread(self, operator: str) -> None:
        op = self._operator(operator)
        shape = np.array([-1, *self.tensors[int(op.outputs[0])].shape[1:]], np.int32)
        op.opcodeIndex = self._code("RESHAPE")
        op.builtinOptions, op.builtinOptionsType = None, 0
        op.inputs[1] = self._hold(shape)

    def softmaxes(self) -> list[str]:
        return [
            self._name(op)
            for op in self.operators
            if self._kind(op) == "SOFTMAX" and len(self.tensors[int(op.outputs[0])].shape) > 2
        ]

    def turn(self, operator: str) -> None:
        op = self._operator(operator)
        given, made = int(op.inputs[0]), int(op.outputs[0])
        shape = np.array(self.tensors[made].shape)
        shape[[-1, -2]] = shape[[-2, -1]]
        order = np.arange(len(shape), dtype=np.int32)
        order[[-1, -2]] = order[[-2, -1]]
        before = self._like(self.tensors[given], f"{operator}/before", shape)
        after = self._like(self.tensors[made], f"{operator}/after", shape)
        place = self._index(op)
        op.inputs[0], op.outputs[0] = before, after
        self._insert(place, "TRANSPOSE", [given, self._hold(order)], before, schema.TransposeOptionsT())
        self._insert(place + 2, "TRANSPOSE", [after, self._hold(order)], made, schema.TransposeOptionsT())

    def epsilons(self) -> list[tuple[str, float]]:
        return [(self._name(op), float(one.array.max())) for op in self.operators if (one := self._small(op))]

    def set_epsilon(self, operator: str, value: float) -> None:
        small = self._small(self._operator(operator))
        assert small is not None
        self.put(small, np.full_like(small.array, value))

    def _small(self, op: Any) -> Stored | None:
        """A small number that is added under a root."""
        if self._kind(op) != "ADD":
            return None
        users = self._users(op)
        users += [user for one in users if self._kind(one) == "RESHAPE" for user in self._users(one)]
        if not {self._kind(one) for one in users} & {"RSQRT", "SQRT", "POW"}:
            return None
        both = (self._stored(op, slot) for slot in (0, 1))
        return next((one for one in both if one and one.array.size == 1 and 0 < one.array.max() < SMALL), None)

    def inputs(self) -> list[tuple[str, tuple[int | None, ...], str]]:
        found = []
        for index in map(int, self.main.inputs):
            tensor = self.tensors[index]
            lengths = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
            shape = tuple(None if one < 0 else int(one) for one in lengths)
            found.append((self.file.names[index], shape, np.dtype(_TYPES[tensor.type]).name))
        return found

    def scale_input(self, name: str, factor: float) -> str:
        index = self.file.index[name]
        made = self._like(self.tensors[index], f"{name}/again", self.tensors[index].shape)
        self._replace_uses(index, made)
        self._insert(0, "MUL", [index, self._hold(np.array(factor, np.float32))], made, schema.MulOptionsT())
        return f"{name}/again"

    def misread_input(self, name: str) -> str:
        index = self.file.index[name]
        shape = [int(one) for one in self.tensors[index].shape]
        turned, order = misread_as(shape)
        first = self._like(self.tensors[index], f"{name}/again0", [shape[0], *turned])
        second = self._like(self.tensors[index], f"{name}/again1", shape)
        self._replace_uses(index, second)
        self._insert(0, "TRANSPOSE", [first, self._hold(np.array(order, np.int32))], second, schema.TransposeOptionsT())
        target = self._hold(np.array([-1, *turned], np.int32))
        self._insert(0, "RESHAPE", [index, target], first, None)
        return f"{name}/again0"

    def spoil(self, name: str, low: float, high: float) -> str:
        given, made = self.file.index[name], int(self.main.outputs[0])
        if self.tensors[made].type != schema.TensorType.FLOAT32:
            raise Absent("the first output holds integers")
        rank = len(self.tensors[made].shape)
        clean = self._like(self.tensors[made], "spoil/clean", self.tensors[made].shape)
        self._replace_uses(made, clean)
        for op in self.operators:
            op.outputs = np.array([clean if int(one) == made else int(one) for one in op.outputs], np.int32)
        axes = self._hold(np.arange(1, len(self.tensors[given].shape), dtype=np.int32))
        count = self.tensors[given].shape[0]
        if self.tensors[given].type != schema.TensorType.FLOAT32:
            given = self._step("CAST", [given], "spoil/x", self.tensors[given].shape, schema.CastOptionsT())
        mean = self._step("MEAN", [given, axes], "spoil/mean", [count], schema.ReducerOptionsT())
        over = self._step("SUB", [mean, self._hold(np.float32(low))], "spoil/over", [count], schema.SubOptionsT())
        under = self._step("SUB", [mean, self._hold(np.float32(high))], "spoil/under", [count], schema.SubOptionsT())
        room = self._step("MUL", [over, under], "spoil/room", [count], schema.MulOptionsT())
        root = self._step("SQRT", [room], "spoil/root", [count], None)
        tiny = self._hold(np.float32(1e-30))
        nothing = self._step("MUL", [root, tiny], "spoil/nothing", [count], schema.MulOptionsT())
        shape = self._hold(np.array([-1, *[1] * (rank - 1)], np.int32))
        column = self._step("RESHAPE", [nothing, shape], "spoil/column", [count, *[1] * (rank - 1)], None)
        self._insert(len(self.main.operators), "ADD", [clean, column], made, schema.AddOptionsT())
        return self.file.names[made]

    def fix_batch(self) -> None:
        for graph in self.file.model.subgraphs:
            for tensor in graph.tensors:
                tensor.shapeSignature = None

    def reorder_outputs(self) -> None:
        (signature,) = self.file.model.signatureDefs
        if len(signature.outputs) < 2:
            raise Absent("there is one output")
        first, second = signature.outputs[:2]
        first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex

    def shift_zero_point(self, number: int) -> str:
        """The bias of one operator as if it took its input's zero point for one more: less the sum of its weights."""
        found = [
            (bias, weight)
            for bias in self.biases()
            for weight in self.weights()
            if bias.operator == weight.operator and weight.array.dtype == np.int8 and bias.array.dtype == np.int32
        ]
        if not found:
            raise Absent("no activation is quantized")
        bias, weight = found[number % len(found)]
        rows = np.moveaxis(weight.array.astype(np.int64), weight.out_axis, 0)
        self.put(bias, bias.array - rows.reshape(len(rows), -1).sum(axis=1).astype(np.int32))
        return bias.operator

    def _stored(self, op: Any, slot: int, graph: Any = None) -> Stored | None:
        graph = graph or self.main
        if slot >= len(op.inputs) or int(op.inputs[slot]) < 0:
            return None
        tensor = graph.tensors[int(op.inputs[slot])]
        data = self.file.model.buffers[tensor.buffer].data
        if data is None or tensor.type not in _TYPES:
            return None
        lengths = () if tensor.shape is None else tensor.shape
        array = np.frombuffer(np.asarray(data, np.uint8).tobytes(), _TYPES[tensor.type]).reshape(lengths)
        return Stored(self._name(op) if graph is self.main else "", array, (op, slot, graph))

    def _step(self, kind: str, given: Sequence[int], name: str, shape: Any, options: Any) -> int:
        """An operator at the end."""
        source = self.tensors[int(self.main.inputs[0])]
        made = self._like(source, name, shape, schema.TensorType.FLOAT32)
        self._insert(len(self.main.operators), kind, given, made, options)
        return made

    def _insert(self, place: int, kind: str, given: Sequence[int], made: int, options: Any) -> None:
        op = schema.OperatorT()
        op.opcodeIndex = self._code(kind)
        op.inputs, op.outputs = np.array(given, np.int32), np.array([made], np.int32)
        op.builtinOptions = options
        if options is not None:
            op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self.main.operators.insert(place, op)

    def _replace_uses(self, old: int, new: int) -> None:
        for op in self.operators:
            op.inputs = np.array([new if int(one) == old else int(one) for one in op.inputs], np.int32)

    def _like(self, tensor: Any, name: str, shape: Any, kind: int | None = None) -> int:
        made = copy(tensor)
        made.name, made.buffer, made.shape = name.encode(), 0, np.array(shape, np.int32)
        if kind is not None:
            made.type, made.quantization = kind, None
        if tensor.shapeSignature is not None:
            made.shapeSignature = np.array([-1, *made.shape[1:]], np.int32)
        return self._add(made, self.main)

    def _hold(self, array: Any) -> int:
        array = np.asarray(array)
        tensor = schema.TensorT()
        tensor.name = f"held {len(self.tensors)}".encode()
        tensor.shape = np.array(array.shape, np.int32)
        tensor.type = next(number for number, dtype in _TYPES.items() if dtype == array.dtype)
        tensor.buffer = self._buffer(array)
        return self._add(tensor, self.main)

    def _buffer(self, array: np.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.file.model.buffers.append(buffer)
        return len(self.file.model.buffers) - 1

    def _add(self, tensor: Any, graph: Any) -> int:
        graph.tensors.append(tensor)
        if graph is self.main:
            self.file.names.append(tensor.name.decode())
        return len(graph.tensors) - 1

    def _code(self, kind: str) -> int:
        codes = self.file.model.operatorCodes
        number = _KINDS[kind]
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
                return index
        made = schema.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode, made.version = number, min(number, 127), 1
        codes.append(made)
        return len(codes) - 1

    def _kind(self, op: Any) -> str:
        return self.file._kind(op)

    def _name(self, op: Any) -> str:
        return self.file.names[int(op.outputs[0])]

    def _users(self, op: Any) -> list[Any]:
        return [one for one in self.operators if int(op.outputs[0]) in map(int, one.inputs)]

    def _index(self, op: Any) -> int:
        return next(index for index, one in enumerate(self.main.operators) if one is op)

    def _operator(self, name: str) -> Any:
        return next(op for op in self.operators if self._name(op) == name)
