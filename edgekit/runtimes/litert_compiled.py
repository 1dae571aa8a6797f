"""LiteRT's own accelerators, GPU and NPU, through its compiled models. Part of the device core.

The engine says on stderr how it divided the operators, and nowhere else. ``is_fully_accelerated`` counts XNNPACK as an
accelerator, so it is asked only of a model that was compiled without the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from edgekit.runtimes.base import Arrays, OpenOptions, Session, accelerator_missing, engine_words
from edgekit.runtimes.placement import CPU, native_words, split_accelerator
from edgekit.types import Effective, Reading

if TYPE_CHECKING:
    from edgekit.runtimes.tflite_session import TfliteSession

ACCELERATORS = ("GPU", "NPU")

_DIVIDED = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU")
_UNSUPPORTED = re.compile(r"not supported by GPU delegate:\n(?P<list>(?:[A-Z0-9_]+: .*\n)+)")

#: Lines that tell why an accelerator is not there, the telling ones first.
_REASONS = (
    "Couldn't load Vulkan",
    "No adapters found",
    "Attempting to use a delegate that only supports static",
    "No compiler plugin found",
)


def open_compiled(path: Path, options: OpenOptions, known: TfliteSession) -> CompiledSession:
    """Compile a file for an accelerator; operators that it does not take run on the CPU.

    Args:
        path: the file.
        options: ``accelerator`` is ``GPU`` or ``NPU``. A pinned precision keeps the GPU from computing in f16.
        known: the same file in the interpreter, which knows quantization.

    Raises:
        MissingError: the accelerator is not there, or takes no operator of this model.
    """
    asked = split_accelerator(options.accelerator)[0].upper()
    with native_words() as said:
        try:
            from ai_edge_litert import compiled_model as litert
        except ImportError as err:
            reason = "only the package ai-edge-litert 2.1 or newer has accelerators of its own."
            raise accelerator_missing("tflite", asked, [CPU], reason) from err

        def compiled(units: Any) -> Any:
            settings = litert.Options(
                hardware_accelerators=units,
                cpu_options=litert.CpuOptions(num_threads=options.threads or 1),
                gpu_options=litert.GpuOptions(enforce_f32=options.precision == "f32"),
            )
            return litert.CompiledModel.from_file(str(path), options=settings)

        unit = litert.HardwareAccelerator[asked]
        try:
            model, placement = compiled(unit), asked
        except RuntimeError as err:
            placement = _divided(said()) or ""
            if not placement:
                raise accelerator_missing("tflite", asked, [CPU], _why(said(), err)) from err
            model = compiled(unit | litert.HardwareAccelerator.CPU)
        else:
            if not model.is_fully_accelerated():
                raise accelerator_missing("tflite", asked, [CPU], "the engine did not use it.")
    pinned = options.precision == "f32" and asked == "GPU"
    return CompiledSession(model, known, Reading(placement, "engine"), pinned)


def _divided(said: str) -> Optional[str]:
    """``GPU 10/16, CPU 6/16 (GATHER_ND)``, or None where nothing ran on the GPU."""
    counts = _DIVIDED.search(said)
    if counts is None or counts.group(1) == "0":
        return None
    there, here = int(counts.group(1)), int(counts.group(2))
    listed = _UNSUPPORTED.search(said)
    kinds = [line.partition(":")[0] for line in listed["list"].splitlines()] if listed else []
    left = f" (for {', '.join(kinds)})" if kinds else ""
    return f"GPU {there}/{there + here}, CPU {here}/{there + here}{left}"


def _why(said: str, err: Exception) -> str:
    """The reason in the engine's own words."""
    for reason in _REASONS:
        line = next((line for line in said.splitlines() if reason in line), "")
        if line:
            return f"{line[line.index(reason) :].rstrip('.')}."
    words = [line.strip(" └") for line in str(err).splitlines() if not line.startswith("ERROR: [")]
    return f"{(words[-1] if words else engine_words(err)).rstrip('.')}."


class CompiledSession(Session):
    """A file that was compiled for an accelerator.

    Free axes are set for each new shape, where the file itself has them. Timing (`prepare`) includes the copy of the
    inputs to the accelerator and of the outputs back, but not the conversion of quantized ones, as in `TfliteSession`.
    """

    def __init__(self, model: Any, known: TfliteSession, placement: Reading, pinned: bool) -> None:
        self._model: Optional[Any] = model
        self.signature = known.signature
        self._inputs, self._outputs = known.inputs, known.outputs
        self._key = next(iter(model.get_signature_list()))
        self._placement = placement
        self._precision = known.effective().precision if pinned else Reading(None, "not reported")
        self._shapes = {spec.name: tuple(length or 1 for length in spec.shape) for spec in self.signature.inputs}

    def effective(self) -> Effective:
        """Placement as the engine tells it; precision from the file, where f32 was pinned: the engine tells none."""
        return Effective(precision=self._precision, placement=self._placement)

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
        self._model = None

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        arrays = self._prepare(inputs)()
        return {tensor.spec.name: tensor.decode(array) for tensor, array in zip(self._outputs, arrays)}

    def _prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        model = self._model
        assert model is not None, "the session is closed"
        self._fit(model, inputs)
        details = model.get_output_tensor_details(self._key)
        feed = []
        for tensor in self._inputs:
            name = tensor.spec.name
            buffer = model.create_input_buffer_by_name(self._key, name)
            feed.append((name, buffer, np.ascontiguousarray(tensor.encode(inputs[name]))))
        fetch = []
        for tensor in self._outputs:
            name = tensor.spec.name
            shape = tuple(int(length) for length in details[name]["shape"])
            buffer = model.create_output_buffer_by_name(self._key, name)
            fetch.append((name, buffer, int(np.prod(shape, dtype=np.int64)), shape, np.dtype(tensor.stored)))
        given = {name: buffer for name, buffer, _ in feed}
        made = {name: buffer for name, buffer, *_ in fetch}
        key = self._key

        def infer() -> list[np.ndarray]:
            for _, buffer, array in feed:
                buffer.write(array)
            model.run_by_name(key, given, made)
            return [buffer.read(count, dtype).reshape(shape) for _, buffer, count, shape, dtype in fetch]

        return infer

    def _fit(self, model: Any, inputs: Mapping[str, np.ndarray]) -> None:
        """Resize inputs whose free axes have another length than last time."""
        for name, array in inputs.items():
            if self._shapes[name] != array.shape:
                model.resize_input_tensor_by_name(self._key, name, array.shape)
                self._shapes[name] = array.shape
