"""Open an artifact on its engine and run it, without edgekit: what the coverage benchmark checks edgekit by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Dims = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the artifact declares it; a free dimension is None."""

    name: str
    shape: Dims
    dtype: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An artifact that can be run.

    Attributes:
        inputs, outputs: in the artifact's order.
        run: arrays in the order of ``inputs`` to arrays in the order of ``outputs``.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    run: Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def open_artifact(target: str, path: Path) -> Opened:
    """Open an artifact on the CPU, in float32.

    Raises:
        Exception: whatever the engine raises about a file that it cannot run.
    """
    return {"onnx": _onnx, "openvino": _openvino, "tflite": _tflite}[target](path)


def _onnx(path: Path) -> Opened:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    types = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    inputs = tuple(
        Tensor(found.name, _free(found.shape), types.get(found.type, found.type.removeprefix("tensor(")[:-1]))
        for found in session.get_inputs()
    )
    names = tuple(found.name for found in session.get_outputs())

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        feeds = {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}
        return [np.asarray(array) for array in session.run(None, feeds)]

    return Opened(inputs, names, run)


def _openvino(path: Path) -> Opened:
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = tuple(
        Tensor(
            min(port.names, default=f"input_{index}"),
            tuple(None if dim.is_dynamic else dim.get_length() for dim in port.partial_shape),
            np.dtype(port.element_type.to_dtype()).name,
        )
        for index, port in enumerate(model.inputs)
    )
    names = tuple(min(port.names, default=f"output_{index}") for index, port in enumerate(model.outputs))

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = model(list(arrays))
        return [np.array(found[index]) for index in range(len(names))]

    return Opened(inputs, names, run)


def _tflite(path: Path) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    engine = Interpreter(model_path=str(path), num_threads=1)
    ins, outs = _tflite_tensors(engine)
    order = list(ins)
    shapes = {name: tuple(int(length) for length in row["shape"]) for name, row in ins.items()}

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        for name, array in zip(order, arrays, strict=True):
            if shapes[name] != array.shape:
                engine.resize_tensor_input(ins[name]["index"], array.shape, strict=True)
                shapes[name] = array.shape
        engine.allocate_tensors()
        for name, array in zip(order, arrays, strict=True):
            engine.set_tensor(ins[name]["index"], np.ascontiguousarray(array))
        engine.invoke()
        return [engine.get_tensor(row["index"]) for row in outs.values()]

    engine.allocate_tensors()
    inputs = tuple(Tensor(name, _free(_signature(row)), np.dtype(row["dtype"]).name) for name, row in ins.items())
    return Opened(inputs, tuple(outs), run)


def _tflite_tensors(engine: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and outputs by the names of the signature, else by those of the graph."""
    if len(engine.get_signature_list()) == 1:
        runner = engine.get_signature_runner()  # must be gone before the engine runs
        return dict(runner.get_input_details()), dict(runner.get_output_details())
    rows = engine.get_input_details(), engine.get_output_details()
    return {row["name"]: row for row in rows[0]}, {row["name"]: row for row in rows[1]}


def _signature(row: dict[str, Any]) -> list[int]:
    found = row.get("shape_signature")
    return [int(length) for length in (row["shape"] if found is None or not len(found) else found)]


def _free(shape: Sequence[int | str | None]) -> Dims:
    return tuple(length if isinstance(length, int) and length >= 0 else None for length in shape)
