"""Keras models: load a ``.keras`` file or what a factory returned, read the signature, prepare it for conversion.

Everything here runs in a process whose ``KERAS_BACKEND`` was chosen before (`graph.conversion_context`). A file runs
no code unless the user trusts it: Keras' safe mode is on, and what it refuses is said in plain words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError, UsageError
from edgekit.exporter.loading import TWIN_PARAMETERS, Loaded, Loading, Record
from edgekit.exporter.sources._flops import flops_of_jax, flops_of_torch, one_sample
from edgekit.exporter.sources._keras_layers import recorded
from edgekit.exporter.sources._recording import Recorder
from edgekit.exporter.sources._twins import keras_in_float64, one_thread
from edgekit.exporter.sources._ways import ways_of_keras
from edgekit.exporter.sources.code import call_factory, example_inputs
from edgekit.exporter.sources.keras_archive import read, refuse_code, refuse_foreign, refuse_strings
from edgekit.exporter.sources.keras_custom import custom_objects, registered, unloadable
from edgekit.exporter.sources.keras_precision import compute_in_float32, inputs_in_float32, policies
from edgekit.exporter.sources.keras_session import KerasSession
from edgekit.exporter.sources.keras_signature import packed, pinned, signature_of, submodels, with_inputs
from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Signature


@dataclass(frozen=True)
class KerasModel(Loaded):
    """A loaded model.

    Attributes:
        model: the ``keras.Model``; functional or sequential, so that it knows its inputs.
        signature: inputs and outputs by name, in the order of the flattened structures.
        framework: what wrote the file, such as ``keras 3.15.1``.
        drawn: whether a factory made the weights, so that they differ from process to process.
    """

    model: Any
    signature: Signature
    framework: str
    drawn: bool = False
    kind = "keras"

    @property
    def parameters(self) -> int:
        return int(self.model.count_params())

    @property
    def notes(self) -> tuple[str, ...]:
        found = policies(self.layers)
        precision = [f"The source computes in {', '.join(found)}; it is exported and compared in float32."]
        stateful = [layer.name for layer in self.layers if getattr(layer, "stateful", False)]
        state = [f"Layer {', '.join(stateful)} is stateful; the artifact starts each inference from the saved state."]
        return (*(precision if found else ()), *(state if stateful else ()))

    @property
    def layers(self) -> tuple[Any, ...]:
        """Every layer, those inside other layers too."""
        return tuple(self.model._flatten_layers(include_self=False))

    def operators(self) -> Mapping[str, int]:
        found = Counter(type(layer).__name__ for layer in self.layers)
        return {name: count for name, count in found.most_common() if name != "InputLayer"}

    def weight_dtypes(self) -> set[str]:
        import keras

        return {keras.backend.standardize_dtype(weight.dtype) for weight in self.model.weights}

    def flops(self) -> int | None:
        """Counted on the JAX and torch backends; the others have no way to trace a model without running it."""
        import keras

        if keras.backend.backend() == "jax":
            return flops_of_jax(self.function(), self.signature)
        shapes = one_sample(self.signature)
        if keras.backend.backend() != "torch" or shapes is None:
            return None
        dtypes = [spec.dtype for spec in self.signature.inputs]
        return flops_of_torch(self, [keras.ops.zeros(shape, kind) for shape, kind in zip(shapes, dtypes, strict=True)])

    def open(self) -> KerasSession:
        import keras

        if keras.backend.backend() != "jax":
            return KerasSession(self.signature, self)
        import jax

        return KerasSession(self.signature, jax.jit(self.function()))

    def ways(self) -> Mapping[str, Callable[[], Session]]:
        return ways_of_keras(self)

    def twins(self) -> Mapping[str, Callable[[], Session]]:
        import keras

        backend = keras.backend.backend()
        found: dict[str, Callable[[], Session]] = {}
        if backend != "openvino" and self.parameters <= TWIN_PARAMETERS:  # which evaluates in float32
            found["float64"] = lambda: KerasSession(self.signature, keras_in_float64(self))
        if backend == "torch":
            found["threads"] = lambda: KerasSession(self.signature, one_thread(self))
        return found

    def run_layers(self, inputs: Mapping[str, np.ndarray], record: Record) -> Arrays:
        """Every layer of the model, those inside others too, run one operation at a time on any backend."""
        recorder = Recorder(record, len(next(iter(inputs.values()))))
        with recorded(self.layers, recorder):
            return KerasSession(self.signature, self).run(inputs)

    def ids(self) -> Mapping[str, int]:
        """The smallest embedding's length for every integer input, and for a float one that an embedding takes."""
        import keras

        embeddings = [layer for layer in self.layers if isinstance(layer, keras.layers.Embedding)]
        if not embeddings:
            return {}
        smallest = min(layer.input_dim for layer in embeddings)
        fed = {id(tensor) for layer in embeddings for node in layer._inbound_nodes for tensor in node.input_tensors}
        return {
            spec.name: smallest
            for spec, tensor in zip(self.signature.inputs, self.model.inputs, strict=True)
            if np.dtype(spec.dtype).kind in "iu" or id(tensor) in fed
        }

    def keep(self, folder: Path) -> Path | None:
        if not self.drawn or not self.model.weights:
            return None
        path = folder / "source.weights.h5"
        self.model.save_weights(path)
        return path

    def __call__(self, *tensors: Any) -> tuple[Any, ...]:
        """Call the model: tensors of the backend in the signature's order, in and out."""
        import keras

        outputs = self.model(packed(self.model, tensors), training=False)
        return tuple(keras.tree.flatten(outputs))

    def stateless(self, trained: Sequence[Any], fixed: Sequence[Any], tensors: Sequence[Any]) -> tuple[Any, ...]:
        """Call the model with these weights in place of its own."""
        import keras

        outputs, _ = self.model.stateless_call(trained, fixed, packed(self.model, tensors), training=False)
        return tuple(keras.tree.flatten(outputs))

    def function(self) -> Callable[..., tuple[Any, ...]]:
        """A pure function of JAX arrays with the weights as constants; JAX backend only."""
        weights = self.weights()
        return lambda *tensors: self.stateless(*weights, tensors)

    def weights(self) -> tuple[list[Any], list[Any]]:
        """Values that training changes, and the others."""
        trained = [variable.value for variable in self.model.trainable_variables]
        return trained, [variable.value for variable in self.model.non_trainable_variables]

    def unroll(self, most_steps: int) -> tuple[str, ...]:
        """Write recurrent layers out step by step.

        Args:
            most_steps: layers with more time steps, or a free number of them, stay loops.

        Returns:
            Names of the layers that stay loops.
        """
        import keras

        loops = []
        for layer in self.layers:
            if isinstance(layer, keras.layers.RNN):
                shapes = list((layer._build_shapes_dict or {}).values())  # of the sequence, then of initial states
                steps = shapes[0][1] if shapes else None  # (batch, steps, features)
                layer.unroll = steps is not None and steps <= most_steps
                if not layer.unroll:
                    loops.append(str(layer.name))
        return tuple(loops)


def load(path: Path | None, loading: Loading) -> KerasModel:
    """Load a ``.keras`` file, or what a factory returns, in the process's backend.

    Raises:
        ModelError: it is no such file, is damaged, would run code, needs a class that is not there, or has no
            signature.
        UsageError: there is no such submodel, or a pin does not fit.
    """
    compute_in_float32()
    if loading.factory is not None:
        return from_object(call_factory(loading), path, loading)
    assert path is not None
    return _finished(*_from_file(path, loading), loading, drawn=False)


def from_object(made: Any, path: Path | None, loading: Loading) -> KerasModel:
    """The model that a factory returned, with the weights in ``path`` where another process kept them.

    Raises:
        ModelError, UsageError: see `load`.
    """
    import keras

    found = _finished(made, f"keras {keras.__version__}", loading, drawn=True)
    if path is not None and path.name.endswith(".weights.h5"):
        found.model.load_weights(path)
    return found


def _finished(model: Any, framework: str, loading: Loading, *, drawn: bool) -> KerasModel:
    model = with_inputs(_submodel(model, loading.submodel), example_inputs(loading), loading.pins)
    inputs_in_float32(model)
    loaded = KerasModel(model, signature_of(model), framework, drawn)
    return replace(loaded, signature=pinned(model, loaded.signature, loading.pins))


def _from_file(path: Path, loading: Loading) -> tuple[Any, str]:
    import keras

    config, metadata = read(path)
    if not loading.trust_code:
        refuse_code(config)
    if not loading.submodel:  # another part of the model may do without
        refuse_strings(config)
    known = custom_objects(loading.custom_objects, config)
    refuse_foreign(config, {*known, *registered()})
    if loading.trust_code:
        _give_names(known)
    try:
        with _no_random_weights(), keras.saving.custom_object_scope(known):
            model = keras.saving.load_model(path, compile=False, safe_mode=not loading.trust_code)
    except EdgekitError:
        raise
    except Exception as err:  # Keras raises whatever its layers raise
        raise unloadable(err) from err
    return model, f"keras {metadata.get('keras_version', 'of unknown version')}"


def _submodel(model: Any, name: str | None) -> Any:
    """The model of this name inside a model: an attribute or a layer, with dots for one inside that."""
    for part in name.split(".") if name else ():
        inside = submodels(model)
        if part not in inside:
            raise UsageError(
                "no-such-submodel",
                f"the model holds no model {part!r}.",
                received=f"--submodel {name}",
                hint=f"It holds: {', '.join(inside) or 'no other models'}.",
            )
        model = inside[part]
    return model


def _give_names(known: Mapping[str, Any]) -> None:
    """Let the code of Lambda layers find the names that such code refers to; its own globals are not in the file."""
    import keras
    from keras.src.utils import python_utils

    usual = {"keras": keras, "ops": keras.ops, "layers": keras.layers, "np": np, "numpy": np}
    for name, value in {**usual, **known}.items():
        vars(python_utils).setdefault(name, value)


@contextmanager
def _no_random_weights() -> Iterator[None]:
    """Start weights at zero: the file holds them, and JAX compiles a program per shape to draw them, 90 % of a load."""
    from keras import initializers as known

    def zeros(_: Any, shape: Any, dtype: Any = None, **__: Any) -> Any:
        import keras

        return keras.ops.zeros(shape, dtype)

    kinds = (known.VarianceScaling, known.RandomNormal, known.RandomUniform, known.TruncatedNormal, known.Orthogonal)
    calls = [kind.__call__ for kind in kinds]
    try:
        for kind in kinds:
            kind.__call__ = zeros
        yield
    finally:
        for kind, call in zip(kinds, calls, strict=True):
            kind.__call__ = call
