"""OpenVINO. Part of the device core."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from edgekit.runtimes.base import (
    Arrays,
    OpenOptions,
    Runtime,
    Session,
    accelerator_missing,
    check_open,
    engine_words,
    make_signature,
    numpy_dtype,
    precision_of,
    refuse_off_cpu,
    unloadable,
)
from edgekit.types import Effective, Reading, TensorSpec

if TYPE_CHECKING:
    import openvino

#: Element types by OpenVINO's name.
NUMPY_NAMES = {
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "boolean": "bool",
}

#: Layer types of a runtime model that move, reshape or hold data and compute nothing.
_NO_COMPUTE = frozenset(
    (
        *("Const", "Constant", "Input", "Output", "Parameter", "Result"),
        *("Broadcast", "Concatenation", "Convert", "Gather", "Permute", "Reorder", "Reshape", "ShapeOf", "Split"),
        *("StridedSlice", "Tile", "Transpose"),
    )
)


class OpenVinoRuntime(Runtime):
    """OpenVINO, by default on the CPU, tuned for the latency of one request at a time.

    ``options.precision`` becomes INFERENCE_PRECISION_HINT: without it the CPU plugin computes a float32 model in
    bfloat16 wherever the CPU can. Quantized operators keep their integers.
    """

    name = "openvino"
    caches = True

    def version(self) -> str:
        import openvino

        return str(openvino.__version__).split("-")[0]

    def default_precision(self, accelerator: str) -> Optional[str]:
        """As the plugin of the device reports it for this machine: ``bf16`` where the CPU has such instructions."""
        import openvino

        core = openvino.Core()
        hint = core.get_property(_device(accelerator, core.available_devices), "INFERENCE_PRECISION_HINT")
        return str(hint.get_type_name())

    def open(self, path: Path, options: OpenOptions) -> OpenVinoSession:
        """Load a ``.xml`` file; its ``.bin`` lies beside it."""
        return self._open(path, options, 1)

    def open_streams(self, path: Path, options: OpenOptions, streams: int) -> list[Session]:
        """Compile once with so many streams (NUM_STREAMS); each session is a request of its own."""
        first = self._open(path, options, streams)
        return [first, *(first.another(path) for _ in range(streams - 1))]

    def _open(self, path: Path, options: OpenOptions, streams: int) -> OpenVinoSession:
        import openvino

        check_open(path, options)
        core = openvino.Core()
        device = _device(options.accelerator, core.available_devices)
        try:
            model = core.read_model(path)
        except RuntimeError as err:
            raise unloadable("openvino", path, err) from err
        try:
            compiled = core.compile_model(model, device, engine_properties(device, options, streams))
        except RuntimeError as err:
            if device != "CPU":
                raise accelerator_missing("openvino", device, core.available_devices, engine_words(err, path)) from err
            raise unloadable("openvino", path, err) from err
        session = OpenVinoSession(compiled, path)
        session.require(device, core.available_devices)
        return session


class OpenVinoSession(Session):
    """An opened OpenVINO model.

    Timing (`prepare`) includes a copy of every input into the engine's tensor and of every output out of it; `bind`
    shares the caller's arrays with the engine and reads its own output tensors.
    """

    def __init__(self, compiled: openvino.CompiledModel, path: Path) -> None:
        self._compiled: Optional[openvino.CompiledModel] = compiled
        self._request: Optional[openvino.InferRequest] = compiled.create_infer_request()
        self._bound: list[np.ndarray] = []  # what the request reads in place
        self.signature = make_signature(map(_spec, compiled.inputs), map(_spec, compiled.outputs), path)

    def effective(self) -> Effective:
        """Both as the engine reports them: types that the runtime model computes in, devices it executes on."""
        assert self._compiled is not None, "the session is closed"
        return Effective(
            precision=computed_precision(self._compiled),
            placement=Reading(", ".join(self._devices()), "engine"),
        )

    def another(self, path: Path) -> OpenVinoSession:
        """A second request on the same compiled model, for a stream of its own."""
        assert self._compiled is not None, "the session is closed"
        return OpenVinoSession(self._compiled, path)

    @property
    def loaded_from_cache(self) -> bool:
        """Whether the engine found the compiled model in ``OpenOptions.cache``."""
        assert self._compiled is not None, "the session is closed"
        return bool(self._compiled.get_property("LOADED_FROM_CACHE"))

    def require(self, device: str, available: list[str]) -> None:
        """Refuse a model that was placed on another device.

        Raises:
            MissingError: the device does not execute it.
        """
        devices = self._devices()
        if not all(name.split(".")[0] == device.split(".")[0] for name in devices):
            raise accelerator_missing("openvino", device, available, f"it executes on {', '.join(devices)}.")

    def close(self) -> None:
        self._request = None
        self._compiled = None

    def _devices(self) -> list[str]:
        assert self._compiled is not None, "the session is closed"
        return [str(name) for name in self._compiled.get_property("EXECUTION_DEVICES")]

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        outputs = self._prepare(inputs)()
        return {spec.name: array for spec, array in zip(self.signature.outputs, outputs)}

    def _prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        import openvino

        request = self._request
        assert request is not None, "the session is closed"
        copies = []
        for index, spec in enumerate(self.signature.inputs):
            source = inputs[spec.name]
            tensor = openvino.Tensor(source.dtype, openvino.Shape(source.shape))
            request.set_input_tensor(index, tensor)
            copies.append((tensor.data, source))
        count = len(self.signature.outputs)

        def infer() -> list[np.ndarray]:
            for target, source in copies:
                np.copyto(target, source)
            request.infer()
            return [request.get_output_tensor(index).data.copy() for index in range(count)]

        return infer

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        import openvino

        request = self._request
        assert request is not None, "the session is closed"
        refuse_off_cpu("openvino", ", ".join(self._devices()))
        self._bound = [np.ascontiguousarray(inputs[spec.name]) for spec in self.signature.inputs]
        for index, array in enumerate(self._bound):
            request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        count = len(self.signature.outputs)

        def infer() -> list[np.ndarray]:
            request.infer()
            return [request.get_output_tensor(index).data for index in range(count)]

        return infer


def _device(accelerator: str, available: list[str]) -> str:
    """The device of a name in any case; ``GPU`` stands for ``GPU.0`` too."""
    asked = accelerator.upper()
    if asked not in {name for device in available for name in (device, device.split(".")[0])}:
        raise accelerator_missing("openvino", accelerator, available)
    return asked


def engine_properties(device: str, options: OpenOptions, streams: int = 1) -> dict[str, Any]:
    """What the engine is told when it compiles: the streams, and what the options ask for."""
    hint = "LATENCY" if streams == 1 else "THROUGHPUT"
    properties: dict[str, Any] = {"PERFORMANCE_HINT": hint, "NUM_STREAMS": streams}
    if options.precision is not None:
        properties["INFERENCE_PRECISION_HINT"] = options.precision
    if options.threads is not None and device == "CPU":
        properties["INFERENCE_NUM_THREADS"] = options.threads
    if options.cache is not None:
        properties["CACHE_DIR"] = options.cache
    return properties


def _spec(port: Any) -> TensorSpec:
    """Name, shape and type of a port. Of several names the shortest is meant: the others are the converter's."""
    names = port.get_names()
    name = min(names, key=lambda text: (len(text), text)) if names else port.get_node().get_friendly_name()
    dtype = numpy_dtype(NUMPY_NAMES, port.get_element_type().get_type_name(), name)
    return TensorSpec(name, _lengths(port.get_partial_shape()), dtype)


def _lengths(shape: Any) -> tuple[Optional[int], ...]:
    if shape.rank.is_dynamic:
        return ()
    return tuple(length.get_length() if length.is_static else None for length in shape)


def computed_precision(compiled: Any) -> Reading:
    """Formats of the operators that compute, from the graph that is executed; not every plugin shows it."""
    try:
        facts = [node.rt_info for node in compiled.get_runtime_model().get_ops()]
        layers = [(info["layerType"].value, str(info["runtimePrecision"].value)) for info in facts]
    except (RuntimeError, KeyError, IndexError):
        return Reading(None, "not reported")
    value = precision_of(kind for layer, kind in layers if layer not in _NO_COMPUTE)
    return Reading(value, "engine") if value else Reading(None, "not reported")
