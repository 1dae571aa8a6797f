"""ONNX Runtime. Part of the device core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from edgekit.errors import MissingError
from edgekit.runtimes.base import (
    TEXT,
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
from edgekit.runtimes.onnx_providers import (
    FAITHFUL,
    RECORD_PLACEMENT,
    REMOTE,
    Witness,
    assigned,
    label,
    pin_precision,
    provider_named,
    provider_settings,
    seen_for,
    telling,
)
from edgekit.runtimes.onnx_types import weight_formats
from edgekit.runtimes.placement import native_words, share, units_of
from edgekit.types import Effective, Reading, TensorSpec

if TYPE_CHECKING:
    import onnxruntime

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

#: Beginnings of the types that are no arrays, and that the engine takes and gives as Python's lists and None.
_NO_ARRAYS = ("seq(", "optional(")

_CPU = "CPUExecutionProvider"


class OnnxRuntime(Runtime):
    """ONNX Runtime, by default on the CPU.

    The CPU provider computes in the types that the file declares, so ``options.precision`` has no effect there; other
    providers are told, see `edgekit.runtimes.onnx_providers`. What it keeps in ``options.cache`` is the graph as
    optimized for this machine's CPU.
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
        provider = _wanted_provider(options)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors only
        settings.add_session_config_entry(RECORD_PLACEMENT, "1")
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
            settings.inter_op_num_threads = 1
        if provider == _CPU:
            optimized = None if options.cache is None else Path(options.cache) / "optimized.onnx"
            file = path if optimized is None else _cached(settings, path, optimized)
            try:
                engine = onnxruntime.InferenceSession(str(file), settings, providers=[provider])
            except Exception as err:  # its exceptions derive from Exception alone
                raise unloadable("onnxruntime", path, err) from err
            return OnnxSession(engine, path, from_cache=file == optimized, any_values=options.any_values)
        return self._open_on(provider, path, settings, options)

    def _open_on(self, provider: str, path: Path, settings: Any, options: OpenOptions) -> OnnxSession:
        """A session whose first inference tells where it ran.

        Raises:
            MissingError: the provider cannot be used.
        """
        import onnxruntime

        witness = Witness(settings)
        given = [provider_settings(provider, options)]
        pin_precision(provider, options)
        with native_words() as said:
            try:
                engine = onnxruntime.InferenceSession(
                    str(path), settings, providers=[provider], provider_options=given, enable_fallback=0
                )
                active = engine.get_providers()
            except Exception as err:  # its exceptions derive from Exception alone
                witness.drop()
                there = self.open(path, replace(options, accelerator="CPU"))  # raises where the file is at fault
                if options.allow_fallback:
                    return there
                there.close()
                raise _unusable(provider, telling(said(), err)) from err
            if provider not in active and not options.allow_fallback:
                witness.drop()
                raise _unusable(provider, telling(said()))
        required = "" if options.allow_fallback else provider
        return OnnxSession(engine, path, witness, required, any_values=options.any_values)


class OnnxSession(Session):
    """An opened ONNX file.

    Timing (`prepare`) includes what ``InferenceSession.run`` does: it reads the caller's arrays in place on the
    CPU, copies them to an accelerator, and returns new output arrays. `bind` gives it arrays for the outputs too.

    On an accelerator the first inference is profiled: what ran where is known from then on.

    Args:
        engine: the opened file.
        path: of the file.
        witness: of an engine that may use an accelerator.
        required: the provider that some operator has to run on; empty for none.
        from_cache: whether the graph was read from ``OpenOptions.cache``.
        any_values: see ``OpenOptions.any_values``.
    """

    copies = "outputs"

    def __init__(
        self,
        engine: onnxruntime.InferenceSession,
        path: Path,
        witness: Optional[Witness] = None,
        required: str = "",
        *,
        from_cache: bool = False,
        any_values: bool = False,
    ) -> None:
        self._engine: Optional[onnxruntime.InferenceSession] = engine
        self._bound: object = None
        self._from_cache = from_cache
        inputs = [_spec(node, any_values) for node in engine.get_inputs()]
        outputs = [_spec(node, any_values) for node in engine.get_outputs()]
        self.signature = make_signature(inputs, outputs, path)
        self._outputs = [spec.name for spec in self.signature.outputs]
        self._witness, self._required = witness, required
        self._placement = _placement(engine) if witness is None else Reading(None, "not reported")
        self._precision = Reading(None, "not reported")
        if all(label(name) in FAITHFUL for name in engine.get_providers()):
            self._precision = _precision(path, self.signature.inputs + self.signature.outputs)

    @property
    def loaded_from_cache(self) -> bool:
        return self._from_cache

    def effective(self) -> Effective:
        """Placement as the engine records it; precision from the types of the weights, where it computes in those."""
        return Effective(precision=self._precision, placement=self._placement)

    def close(self) -> None:
        if self._witness is not None:
            self._witness.drop()
        self._engine = self._bound = None

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        assert self._engine is not None, "the session is closed"
        outputs = self._engine.run(self._outputs, dict(inputs))
        if self._witness is not None:
            self._settle(self._witness)
        return dict(zip(self._outputs, outputs))

    def _prepare(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        assert self._engine is not None, "the session is closed"
        if self._witness is not None:
            self._run(inputs)
        run, names, feed = self._engine.run, self._outputs, dict(inputs)
        return lambda: run(names, feed)

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> Callable[[], list[np.ndarray]]:
        import onnxruntime

        engine = self._engine
        assert engine is not None, "the session is closed"
        refuse_off_cpu("onnxruntime", ", ".join(label(name) for name in engine.get_providers()))
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

    def _settle(self, witness: Witness) -> None:
        """Read where the first inference ran, and refuse it where that is elsewhere."""
        self._witness = None
        self._placement = witness.placement(self._engine)
        if self._required and label(self._required) not in units_of(self._placement.value):
            reason = f"it placed every operator elsewhere ({self._placement.value})."
            assert self._engine is not None  # it has just run
            present = [label(name) for name in self._engine.get_providers()]
            raise accelerator_missing("onnxruntime", label(self._required), present, reason)


def _cached(settings: Any, path: Path, optimized: Path) -> Path:
    """The optimized graph, to be loaded as it is; where there is none, it is written while loading."""
    import onnxruntime

    if optimized.is_file():
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return optimized
    settings.optimized_model_filepath = str(optimized)
    return path


def _wanted_provider(options: OpenOptions) -> str:
    """The provider that is asked for, or the CPU's where it may stand in."""
    import onnxruntime

    try:
        return provider_named(options.accelerator, onnxruntime.get_available_providers())
    except MissingError:
        if not options.allow_fallback:
            raise
        return _CPU


def _unusable(provider: str, reason: str) -> MissingError:
    import onnxruntime

    present = [label(name) for name in onnxruntime.get_available_providers() if name not in (*REMOTE, provider)]
    words = f"{reason} {seen_for(label(provider))}".strip()
    return accelerator_missing("onnxruntime", label(provider), present, words)


def _spec(node: Any, any_values: bool) -> TensorSpec:
    shape: tuple[Optional[int], ...] = tuple(
        length if isinstance(length, int) and length >= 0 else None for length in node.shape or ()
    )
    if any_values and node.type == "tensor(string)":
        return TensorSpec(node.name, shape, TEXT)
    if any_values and node.type.startswith(_NO_ARRAYS):
        return TensorSpec(node.name, (), node.type)
    return TensorSpec(node.name, shape, numpy_dtype(_DTYPES, node.type, node.name))


def _placement(engine: Any) -> Reading:
    """Of an engine that has the CPU provider alone, which the record of the assignment is complete for."""
    value = share((label(part.ep_name), node.op_type) for part in assigned(engine) for node in part.get_nodes())
    active = [label(name) for name in engine.get_providers()]
    if value is None and active == ["CPU"]:  # there is nothing else that it could use
        value = "CPU"
    return Reading(value, "engine") if value else Reading(None, "not reported")


def _precision(path: Path, tensors: tuple[TensorSpec, ...]) -> Reading:
    """Types of the weights; those of inputs and outputs where a model has no weights."""
    numbers = [np.dtype(spec.dtype) for spec in tensors if spec.dtype in _DTYPES.values()]
    declared = {f"{'f' if dtype.kind == 'f' else 'i'}{dtype.itemsize * 8}" for dtype in numbers if dtype.kind in "fiu"}
    value = precision_of(weight_formats(path)) or precision_of(declared)
    return Reading(value, "inferred") if value else Reading(None, "not reported")
