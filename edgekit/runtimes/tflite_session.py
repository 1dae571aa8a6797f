"""A TFLite artifact in the interpreter: its tensors by name. Part of the device core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from edgekit.runtimes.base import Arrays, Session, make_signature, numpy_dtype, precision_of
from edgekit.runtimes.placement import CPU
from edgekit.runtimes.tflite_delegates import delegated_share
from edgekit.types import Effective, Reading, TensorSpec

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

_SIGNATURE = "serving_default"

_DTYPES = {
    name: name
    for name in (
        *("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
    )
}

_QUANTIZED = ("int8", "uint8", "int16")


@dataclass(frozen=True)
class Tensor:
    """One input or output as the engine knows it.

    Attributes:
        spec: as the signature shows it.
        index: the engine's number for it.
        stored: numpy type in the file.
        scale, zero_point: ``real = (stored - zero_point) * scale``; None where it is not quantized.
    """

    spec: TensorSpec
    index: int
    stored: str
    scale: Optional[float]
    zero_point: int

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Round to the nearest step and saturate (ai.google.dev/edge/litert/models/quantization_spec)."""
        if self.scale is None:
            return array
        limits = np.iinfo(self.stored)
        steps = np.round(array / np.float32(self.scale)) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.stored)

    def decode(self, array: np.ndarray) -> np.ndarray:
        if self.scale is None:
            return array
        return (array.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


class TfliteSession(Session):
    """An opened .tflite file.

    Names are those of the signature ``serving_default``, else of the first signature, else of the tensors.
    The batch and other axes are free only where the file says so (``shape_signature`` -1).
    Quantized inputs and outputs appear as float32: `run` quantizes and dequantizes with the tensor's own scale
    and zero point, so that any artifact of a model takes and gives the same numbers.

    Attributes:
        inputs, outputs: as the engine knows them, in the order of the signature.

    Timing (`prepare`) includes the copy of the inputs into the engine and of the outputs out of it, but not that
    conversion: an application that chose integer inputs has integers at hand. `bind` writes the inputs into the
    engine's own memory once and reads the outputs where they lie.
    """

    def __init__(self, interpreter: Interpreter, path: Path, unit: str = CPU) -> None:
        self._interpreter: Optional[Interpreter] = interpreter
        names = _signature_names(interpreter)
        self.inputs = [_tensor(detail, names[0]) for detail in interpreter.get_input_details()]
        self.outputs = [_tensor(detail, names[1]) for detail in interpreter.get_output_details()]
        self.signature = make_signature((t.spec for t in self.inputs), (t.spec for t in self.outputs), path)
        self._shapes = {detail["index"]: tuple(map(int, detail["shape"])) for detail in interpreter.get_input_details()}
        self._precision = precision_of(_types(interpreter))
        self._unit = unit

    def effective(self) -> Effective:
        """Precision from the tensor types in the file; placement from the operators that a delegate took."""
        placement = Reading(CPU, "inferred")
        if self._unit != CPU:
            assert self._interpreter is not None, "the session is closed"
            placement = Reading(delegated_share(self._interpreter, self._unit), "engine")
        return Effective(
            precision=Reading(self._precision, "inferred") if self._precision else Reading(None, "not reported"),
            placement=placement,
        )

    def close(self) -> None:
        self._interpreter = None

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        interpreter = self._interpreter
        assert interpreter is not None, "the session is closed"
        feed = [(tensor.index, tensor.encode(inputs[tensor.spec.name])) for tensor in self.inputs]
        self._fit(interpreter, feed)
        for index, array in feed:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return {tensor.spec.name: tensor.decode(interpreter.get_tensor(tensor.index)) for tensor in self.outputs}

    def _prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        interpreter = self._interpreter
        assert interpreter is not None, "the session is closed"
        feed = [(tensor.index, tensor.encode(inputs[tensor.spec.name])) for tensor in self.inputs]
        self._fit(interpreter, feed)
        fetch = [tensor.index for tensor in self.outputs]

        def infer() -> list[np.ndarray]:
            for index, array in feed:
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in fetch]

        return infer

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        interpreter = self._interpreter
        assert interpreter is not None, "the session is closed"
        feed = [(tensor.index, tensor.encode(inputs[tensor.spec.name])) for tensor in self.inputs]
        self._fit(interpreter, feed)
        for index, array in feed:
            interpreter.set_tensor(index, array)  # inputs of a graph are never overwritten by its own tensors
        views = [interpreter.tensor(tensor.index) for tensor in self.outputs]

        def infer() -> list[np.ndarray]:
            interpreter.invoke()  # refused while a view of an earlier call is alive
            return [view() for view in views]

        return infer

    def _fit(self, interpreter: Interpreter, feed: list[tuple[int, np.ndarray]]) -> None:
        """Resize inputs whose free axes have another length than last time."""
        shapes = {index: array.shape for index, array in feed}
        if shapes == self._shapes:
            return
        before, self._shapes = self._shapes, {}  # until the engine took them
        for index, shape in shapes.items():
            if before.get(index) != shape:
                interpreter.resize_tensor_input(index, shape)
        interpreter.allocate_tensors()
        self._shapes = shapes


def _signature_names(interpreter: Interpreter) -> tuple[dict[int, str], dict[int, str]]:
    """Names of inputs and of outputs by tensor index; empty where the file has no signature."""
    known = interpreter.get_signature_list()
    if not known:
        return {}, {}
    runner = interpreter.get_signature_runner(_SIGNATURE if _SIGNATURE in known else next(iter(known)))
    return (
        {detail["index"]: name for name, detail in runner.get_input_details().items()},
        {detail["index"]: name for name, detail in runner.get_output_details().items()},
    )


def _tensor(detail: Mapping[str, Any], names: Mapping[int, str]) -> Tensor:
    name = names.get(detail["index"], detail["name"])
    stored = numpy_dtype(_DTYPES, np.dtype(detail["dtype"]).name, name)
    lengths = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    shape = tuple(None if length < 0 else int(length) for length in lengths)
    scale, zero_point = detail["quantization"]
    quantized = stored in _QUANTIZED and scale > 0
    spec = TensorSpec(name, shape, "float32" if quantized else stored)
    return Tensor(spec, detail["index"], stored, float(scale) if quantized else None, int(zero_point))


def _types(interpreter: Interpreter) -> list[str]:
    """Types of all tensors of the file, such as ``f32`` and ``i8``."""
    names = {np.dtype(detail["dtype"]).name for detail in interpreter.get_tensor_details()}
    short = (name.replace("uint", "u").replace("int", "i").replace("float", "f") for name in names)
    return [name for name in short if name[-1].isdigit()]
