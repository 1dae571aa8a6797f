"""ONNX Runtime. Part of the device core."""

from __future__ import annotations

from collections import Counter
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
    make_signature,
    numpy_dtype,
    precision_of,
    refuse_off_cpu,
    unloadable,
)
from edgekit.runtimes.onnx_types import weight_formats
from edgekit.types import Effective, Reading, TensorSpec

if TYPE_CHECKING:
    import onnxruntime

_SUFFIX = "ExecutionProvider"

#: Providers that send the samples to a service.
_REMOTE = ("AzureExecutionProvider",)

#: Accelerators whose common name is not the provider's.
_ALIASES = {"directml": "dml"}

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}

#: Asks for the record of which operator was placed where (onnxruntime 1.24 and later; earlier ones ignore it).
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"


class OnnxRuntime(Runtime):
    """ONNX Runtime, by default on the CPU.

    The CPU provider computes in the types that the file declares, so ``options.precision`` has no effect. What it
    keeps in ``options.cache`` is the graph as optimized for this machine.
    """

    name = "onnxruntime"
    caches = True

    def version(self) -> str:
        import onnxruntime

        return str(onnxruntime.__version__)

    def open(self, path: Path, options: OpenOptions) -> OnnxSession:
        """Load a ``.onnx`` file; external data lies beside it."""
        import onnxruntime

        check_open(path, options)
        onnxruntime.disable_telemetry_events()
        available = [name for name in onnxruntime.get_available_providers() if name not in _REMOTE]
        provider = provider_named(options.accelerator, available)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors only
        settings.add_session_config_entry(RECORD_PLACEMENT, "1")
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
            settings.inter_op_num_threads = 1
        optimized = None if options.cache is None else Path(options.cache) / "optimized.onnx"
        file = path if optimized is None else _cached(settings, path, optimized)
        try:
            engine = onnxruntime.InferenceSession(str(file), settings, providers=[provider])
        except Exception as err:  # its exceptions derive from Exception alone
            raise unloadable("onnxruntime", path, err) from err
        session = OnnxSession(engine, path, from_cache=file == optimized)
        session.require(provider, options.accelerator)
        return session


class OnnxSession(Session):
    """An opened ONNX file.

    Timing (`prepare`) includes what ``InferenceSession.run`` does: it reads the caller's arrays in place on the
    CPU, copies them to an accelerator, and returns new output arrays. `bind` gives it arrays for the outputs too.
    """

    copies = "outputs"

    def __init__(self, engine: onnxruntime.InferenceSession, path: Path, *, from_cache: bool = False) -> None:
        self._engine: Optional[onnxruntime.InferenceSession] = engine
        self._bound: object = None
        self._from_cache = from_cache
        self.signature = make_signature(map(_spec, engine.get_inputs()), map(_spec, engine.get_outputs()), path)
        self._outputs = [spec.name for spec in self.signature.outputs]
        self._placement = _placement(engine)
        self._precision = _precision(path, self.signature.inputs + self.signature.outputs)

    @property
    def loaded_from_cache(self) -> bool:
        return self._from_cache

    def effective(self) -> Effective:
        """Placement as the engine records it; precision from the types of the weights in the file."""
        return Effective(precision=self._precision, placement=self._placement)

    def require(self, provider: str, asked: str) -> None:
        """Refuse a session that fell back to another provider.

        Raises:
            MissingError: the provider is not in use, or no operator was placed on it.
        """
        assert self._engine is not None
        active = self._engine.get_providers()
        placed = (self._placement.value or "").split(", ")
        label = _label(provider)
        if provider not in active:
            raise accelerator_missing("onnxruntime", asked, [_label(name) for name in active], "it fell back.")
        if self._placement.how == "engine" and not any(part.split(" ")[0] == label for part in placed):
            reason = f"it placed every operator elsewhere ({self._placement.value})."
            raise accelerator_missing("onnxruntime", asked, [_label(name) for name in active], reason)

    def close(self) -> None:
        self._engine = self._bound = None

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        assert self._engine is not None, "the session is closed"
        return dict(zip(self._outputs, self._engine.run(self._outputs, dict(inputs))))

    def _prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        assert self._engine is not None, "the session is closed"
        run, names, feed = self._engine.run, self._outputs, dict(inputs)
        return lambda: run(names, feed)

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        import onnxruntime

        engine = self._engine
        assert engine is not None, "the session is closed"
        refuse_off_cpu("onnxruntime", ", ".join(_label(name) for name in engine.get_providers()))
        feed = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        outputs: list[np.ndarray] = engine.run(self._outputs, feed)  # tells the shapes of free outputs
        binding = engine.io_binding()
        for name, array in feed.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for name, array in zip(self._outputs, outputs):
            binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        self._bound = (feed, outputs)  # the binding holds their memory, not the arrays
        run = engine.run_with_iobinding

        def infer() -> list[np.ndarray]:
            run(binding)
            return outputs

        return infer


def _cached(settings: Any, path: Path, optimized: Path) -> Path:
    """The optimized graph, to be loaded as it is; where there is none, it is written while loading."""
    import onnxruntime

    if optimized.is_file():
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return optimized
    settings.optimized_model_filepath = str(optimized)
    return path


def provider_named(accelerator: str, available: list[str]) -> str:
    """The provider of an accelerator's name, in any case: ``cuda`` is ``CUDAExecutionProvider``."""
    asked = accelerator.casefold()
    asked = _ALIASES.get(asked, asked)
    for provider in available:
        if _label(provider).casefold() == asked:
            return provider
    raise accelerator_missing("onnxruntime", accelerator, [_label(provider) for provider in available])


def _label(provider: str) -> str:
    return provider[: -len(_SUFFIX)] if provider.endswith(_SUFFIX) else provider


def _spec(node: Any) -> TensorSpec:
    shape: tuple[Optional[int], ...] = tuple(
        length if isinstance(length, int) and length >= 0 else None for length in node.shape
    )
    return TensorSpec(node.name, shape, numpy_dtype(_DTYPES, node.type, node.name))


def _placement(engine: Any) -> Reading:
    """``CPU``, or the share of operators on each unit: ``CUDA 12/14, CPU 2/14``."""
    counts: dict[str, int] = Counter()
    if hasattr(engine, "get_provider_graph_assignment_info"):
        for part in engine.get_provider_graph_assignment_info():
            counts[_label(part.ep_name)] += len(part.get_nodes())
    if len(counts) == 1:
        return Reading(next(iter(counts)), "engine")
    if counts:
        total = sum(counts.values())
        return Reading(", ".join(f"{name} {count}/{total}" for name, count in counts.items()), "engine")
    active = [_label(name) for name in engine.get_providers()]
    if active == ["CPU"]:  # there is nothing else that it could use
        return Reading("CPU", "engine")
    return Reading(None, "not reported")


def _precision(path: Path, tensors: tuple[TensorSpec, ...]) -> Reading:
    """Types of the weights; those of inputs and outputs where a model has no weights."""
    declared = {
        f"{'f' if spec.dtype.startswith('float') else 'i'}{np.dtype(spec.dtype).itemsize * 8}" for spec in tensors
    }
    value = precision_of(weight_formats(path)) or precision_of(declared)
    return Reading(value, "inferred") if value else Reading(None, "not reported")
