"""JAX functions: what a factory returns, and files of ``jax.export``.

A function is anything that JAX can trace: a Python function, a ``jax.jit`` function, a module of Flax or Equinox. A
file, suffix ``.jax``, is what ``jax.export.Exported.serialize`` wrote. It holds a compiled graph and runs no code.
"""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import ModelError
from edgekit.exporter.loading import TWIN_PARAMETERS, Loaded, Loading, Record
from edgekit.exporter.sources._flops import flops_of_jax
from edgekit.exporter.sources._jax_arguments import argument_names, check_pins, read_arguments, wrong_pin
from edgekit.exporter.sources._jax_layers import run
from edgekit.exporter.sources._jax_shapes import described, outputs_of, shapes_of, untraceable
from edgekit.exporter.sources._jaxpr import Traced, trace, with_weights
from edgekit.exporter.sources._recording import Recorder
from edgekit.exporter.sources._twins import jax_in_float64
from edgekit.exporter.sources.code import call_factory, example_inputs
from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Effective, Reading, Signature, TensorSpec

#: Files of `JaxModel.keep`.
WEIGHTS, PROGRAM = "source.weights.npz", "source.jax"


@dataclass(frozen=True)
class JaxModel(Loaded):
    """A function that JAX traces.

    Attributes:
        kind: ``jax`` or ``jax.export``.
        function: takes and returns flat arrays in the order of the signature.
        signature: axis 0 is a free batch, where the function allows it.
        framework: JAX and its version.
        arrays: abstract inputs that it can be traced with: symbols for free dimensions, where it takes them.
        exported: the ``jax.export.Exported``, for that kind.
        notes: about types that JAX changes.
    """

    kind: str
    function: Callable[..., tuple[Any, ...]]
    signature: Signature
    framework: str
    arrays: Sequence[Any]
    exported: Any = None
    notes: tuple[str, ...] = ()

    @cached_property
    def traced(self) -> Traced:
        """The function as JAX traced it; one opaque call for an exported one."""
        return trace(self.function, self.arrays)

    @property
    def parameters(self) -> int | None:
        """Numbers in the arrays that the function holds; None for an exported one, which does not tell."""
        return None if self.exported is not None else sum(array.size for array in self.traced.weights())

    def operators(self) -> Mapping[str, int]:
        return {} if self.exported is not None else dict(self.traced.operators().most_common())

    def flops(self) -> int | None:
        """Not known of an exported function, nor of one whose batch is fixed: it takes no other."""
        known = self.exported is None and self.signature.batch is None
        return flops_of_jax(self.function, self.signature) if known else None

    def weight_dtypes(self) -> set[str]:
        return {str(array.dtype) for array in self.traced.weights()}

    def ids(self) -> Mapping[str, int]:
        """The length of the table that an input indexes."""
        names = [spec.name for spec in self.signature.inputs]
        return {names[index]: length for index, length in self.traced.index_limits().items()}

    def keep(self, folder: Path) -> Path | None:
        """Every array that the function holds, or an exported one as a whole: a factory may draw others next time."""
        if self.exported is not None:
            return _kept(self.exported, folder / PROGRAM)
        weights = self.traced.weights()
        if not weights:
            return None
        path = folder / WEIGHTS
        np.savez(path, *weights)
        return path

    def with_weights(self, path: Path) -> JaxModel:
        """The same function with the arrays that `keep` wrote.

        Raises:
            ModelError: the factory builds another function each time.
        """
        with np.load(path) as kept:
            arrays = [kept[name] for name in kept.files]
        own = self.traced.weights()
        if [(array.shape, array.dtype) for array in own] != [(array.shape, array.dtype) for array in arrays]:
            raise ModelError(
                "factory-varies",
                "the factory returns a function with other weights each time it is called.",
                received=f"{len(own)} arrays, {len(arrays)} before",
                hint="Seed its random choices, or load the weights from a file.",
            )
        if all(np.array_equal(left, right) for left, right in zip(own, arrays, strict=True)):
            return self
        return replace(self, function=with_weights(self.function, arrays))

    def open(self) -> JaxSession:
        import jax

        return JaxSession(self.signature, jax.jit(self.function))

    def ways(self) -> Mapping[str, Callable[[], Session]]:
        return {"compiled": self.open}

    def twins(self) -> Mapping[str, Callable[[], Session]]:
        """Types promote in the function itself; what was exported has fixed ones."""
        if self.parameters is None or self.parameters > TWIN_PARAMETERS:
            return {}
        return {"float64": lambda: JaxSession(self.signature, jax_in_float64(self.function))}

    def run_layers(self, inputs: Mapping[str, np.ndarray], record: Record) -> Arrays:
        """Every primitive that computes; an exported function is opaque."""
        if self.exported is not None:
            return super().run_layers(inputs, record)
        arrays = [np.asarray(inputs[spec.name]) for spec in self.signature.inputs]
        traced = trace(self.function, arrays)
        found = run(traced, arrays, Recorder(record, len(arrays[0])))
        return {
            spec.name: np.array(output, dtype=spec.dtype)
            for spec, output in zip(self.signature.outputs, found, strict=True)
        }


class JaxSession(Session):
    """A function, compiled by JAX once per input shape. Outputs are numpy arrays of the signature's dtypes."""

    def __init__(self, signature: Signature, call: Callable[..., Any], device: Any = None) -> None:
        """Args:
        signature: names and types.
        call: the compiled function of arrays in the signature's order.
        device: a ``jax.Device``; None for the CPU that the process was kept to.
        """
        self.signature = signature
        self._device = device
        self._call: Callable[..., Any] | None = call

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        assert self._call is not None, "the session is closed"
        import jax

        with jax.default_device(self._device):
            outputs = self._call(*(np.asarray(inputs[spec.name]) for spec in self.signature.inputs))
        return {
            spec.name: np.array(output, dtype=spec.dtype)
            for spec, output in zip(self.signature.outputs, outputs, strict=True)
        }

    def effective(self) -> Effective:
        """JAX reports neither; it computes on the device that it was given."""
        placement = "CPU" if self._device is None else str(self._device.platform).upper()
        return Effective(Reading("f32", "inferred"), Reading(placement, "inferred"))

    def close(self) -> None:
        self._call = None


def load_function(path: Path | None, loading: Loading) -> JaxModel:
    """Load what a factory returns.

    Raises:
        UsageError: no such code, or a pin does not fit.
        ModelError: see `from_object`.
    """
    return from_object(call_factory(loading), path, loading)


def from_object(made: Any, path: Path | None, loading: Loading) -> JaxModel:
    """A function or module, or a ``jax.export.Exported``.

    Args:
        made: what the factory returned.
        path: of the weights that `JaxModel.keep` wrote in another process, or any other file, which says nothing.
        loading: with the factory, beside which ``example_inputs`` may stand, and pins.

    Raises:
        UsageError: a pin does not fit.
        ModelError: nothing says what goes in, JAX cannot trace it, or an output has no batch.
    """
    if hasattr(made, "mlir_module_serialized"):
        return _from_exported(made, loading.pins)
    function = as_function(made)
    arguments = read_arguments(function, example_inputs(loading), loading.pins)

    def call(*arrays: Any) -> Any:
        return arguments.call(function, arrays)

    signature, arrays = described(call, arguments.specs, arguments.lengths)
    loaded = JaxModel("jax", _flat(call), signature, _framework(), arrays, notes=arguments.notes)
    return loaded.with_weights(path) if path is not None and path.name == WEIGHTS else loaded


def as_function(made: Any) -> Callable[..., Any]:
    """A pure function with the parameters of what a factory returned; modules compute as in use, not as in training.

    Raises:
        ModelError: a Flax Linen module without its weights.
    """
    classes = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(made).__mro__}
    nnx = any(kind.__module__.startswith("flax.nnx") for kind in type(made).__mro__)
    if nnx and "flax.Module" in classes:
        function = _of_nnx(made)
    elif "flax.Module" in classes:
        function = _of_linen(made)
    elif "equinox.Module" in classes:
        function = _of_equinox(made)
    else:
        return made  # type: ignore[no-any-return]  # what code.load passes on is callable
    function.__signature__ = inspect.signature(made.__call__)  # type: ignore[attr-defined]  # functions have it
    return function


def _of_nnx(module: Any) -> Callable[..., Any]:
    from flax import nnx

    module.eval()
    graph, state = nnx.split(module)
    # A copy each time: a module counts its random numbers, and must not change while it is traced.
    return lambda *args, **kwargs: nnx.merge(graph, state, copy=True)(*args, **kwargs)


def _of_linen(module: Any) -> Callable[..., Any]:
    if module.scope is None:
        raise ModelError(
            "module-without-weights",
            "a Flax Linen module does not hold its weights.",
            received=type(module).__name__,
            hint="Return it with them: module.bind(variables)",
        )
    unbound, variables = module.unbind()
    return lambda *args, **kwargs: unbound.apply(variables, *args, **kwargs)


def _of_equinox(module: Any) -> Callable[..., Any]:
    import equinox

    quiet = equinox.nn.inference_mode(module)
    return lambda *args, **kwargs: quiet(*args, **kwargs)


def _flat(call: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """The same function with its result flattened."""

    def function(*arrays: Any) -> tuple[Any, ...]:
        import jax

        return tuple(jax.tree.leaves(call(*arrays)))

    return function


def _framework() -> str:
    import jax

    return f"jax {jax.__version__}"


def load_exported(path: Path | None, loading: Loading) -> JaxModel:
    """Load a file that ``jax.export.Exported.serialize`` wrote, or what a factory returns.

    Raises:
        ModelError: JAX cannot read the file, or it was exported for other platforms than the CPU.
        UsageError: a pin does not fit.
    """
    from jax import export

    if loading.factory is not None and (path is None or path.name != PROGRAM):
        return from_object(call_factory(loading), path, loading)
    assert path is not None
    try:
        exported = export.deserialize(bytearray(path.read_bytes()))
        exported.mlir_module()
    except (struct.error, AttributeError, ValueError, TypeError, KeyError, IndexError, RuntimeError) as err:
        raise ModelError(
            "not-a-jax-file",
            f"JAX cannot read this as a file of jax.export: {(str(err).splitlines() or [type(err).__name__])[0][:200]}",
            received=f"{path.name}, {path.stat().st_size} bytes",
            hint="Write it again: path.write_bytes(jax.export.export(jax.jit(f))(*shapes).serialize()); "
            "arguments and results may be arrays, tuples, lists and dictionaries.",
        ) from err
    return _from_exported(exported, loading.pins)


def _from_exported(exported: Any, pins: Mapping[str, TensorSpec]) -> JaxModel:
    """Names come from keys of dictionaries and keyword arguments; a file knows no names of parameters."""
    if "cpu" not in exported.platforms or exported.nr_devices != 1:
        raise ModelError(
            "not-for-cpu",
            "the function was exported for other machines, and the CPU here cannot run it.",
            received=f"platforms {', '.join(exported.platforms)}, {exported.nr_devices} devices",
            hint="Export it again for one device: jax.export.export(jax.jit(f), platforms=['cpu'])(*shapes)",
        )
    import jax

    names = argument_names(exported.in_tree)
    check_pins(names, pins)
    arrays = [_abstract(name, aval, pins.get(name)) for name, aval in zip(names, exported.in_avals, strict=True)]

    def call(*leaves: Any) -> Any:
        args, kwargs = jax.tree.unflatten(exported.in_tree, list(leaves))
        return exported.call(*args, **kwargs)

    inputs = tuple(_spec(name, array.shape, array.dtype) for name, array in zip(names, arrays, strict=True))
    try:
        tree = shapes_of(call, arrays)
    except Exception as err:  # JAX checks the shapes against what was exported, with errors of many kinds
        raise untraceable(err, inputs) from err
    signature = Signature(inputs, outputs_of([tree], inputs))
    return JaxModel("jax.export", _flat(call), signature, _framework(), arrays, exported)


def _kept(exported: Any, path: Path) -> Path | None:
    try:
        path.write_bytes(exported.serialize())
    except ValueError:  # its arguments are of a class of the user's, which JAX does not write: the factory goes again
        return None
    return path


def _abstract(name: str, aval: Any, pin: TensorSpec | None) -> Any:
    """An abstract input: symbols of the file stay, where the user does not set a length."""
    import jax

    own = _spec(name, aval.shape, aval.dtype)
    if not aval.shape:
        raise ModelError(
            "scalar-input",
            f"input {name} is a single value; the first axis of every input is the batch.",
            received=str(own),
            hint="Export a function of arrays, with the value bound by functools.partial.",
        )
    if pin is None:
        return jax.ShapeDtypeStruct(aval.shape, aval.dtype)
    pairs = list(zip(aval.shape, pin.shape, strict=False))
    if len(pin.shape) != len(aval.shape) or any(isinstance(have, int) and have != want for have, want in pairs):
        raise wrong_pin(own, pin)
    return jax.ShapeDtypeStruct([have if want is None else want for have, want in pairs], aval.dtype)


def _spec(name: str, shape: Sequence[Any], dtype: Any) -> TensorSpec:
    return TensorSpec(name, tuple(length if isinstance(length, int) else None for length in shape), str(dtype))
