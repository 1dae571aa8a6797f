"""Keras models: load a ``.keras`` file, read its signature, run it as the reference.

Everything here runs in a process whose ``KERAS_BACKEND`` was chosen before (`graph.conversion_context`). A file
never runs code: Keras' safe mode is on, and what it refuses is said in plain words.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import ModelError, UsageError
from edgekit.runtimes.base import Arrays, OpenOptions, Runtime, Session, check_open
from edgekit.types import Effective, Reading, Signature, TensorSpec

Shape = tuple[int | None, ...]

_HDF5 = b"\x89HDF"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class KerasModel:
    """A loaded model.

    Attributes:
        model: the ``keras.Model``.
        signature: inputs and outputs by name, in the order of the flattened structures.
        framework: what wrote the file, such as ``keras 3.15.1``.
    """

    model: Any
    signature: Signature
    framework: str

    @property
    def parameters(self) -> int:
        """Trained numbers, statistics of normalisation included."""
        return int(self.model.count_params())

    @property
    def layers(self) -> tuple[Any, ...]:
        """Every layer, those inside other layers too."""
        return tuple(self.model._flatten_layers(include_self=False))

    def __call__(self, *tensors: Any) -> tuple[Any, ...]:
        """Call the model: tensors of the backend in the signature's order, in and out."""
        import keras

        outputs = self.model(self._packed(tensors), training=False)
        return tuple(keras.tree.flatten(outputs))

    def function(self) -> Callable[..., tuple[Any, ...]]:
        """A pure function of JAX arrays with the weights as constants; JAX backend only."""
        import keras

        trained = [variable.value for variable in self.model.trainable_variables]
        fixed = [variable.value for variable in self.model.non_trainable_variables]

        def function(*tensors: Any) -> tuple[Any, ...]:
            outputs, _ = self.model.stateless_call(trained, fixed, self._packed(tensors), training=False)
            return tuple(keras.tree.flatten(outputs))

        return function

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
                steps = layer.get_build_config()["input_shape"][1]  # (batch, steps, features)
                layer.unroll = steps is not None and steps <= most_steps
                if not layer.unroll:
                    loops.append(str(layer.name))
        return tuple(loops)

    def _packed(self, tensors: Sequence[Any]) -> Any:
        import keras

        structure = self.model.inputs[0] if isinstance(self.model, keras.Sequential) else self.model.input
        return keras.tree.pack_sequence_as(structure, list(tensors))


def load(path: Path) -> KerasModel:
    """Load a ``.keras`` file in the process's backend, without compiling it and in safe mode.

    Raises:
        ModelError: it is no such file, is damaged, would run code, needs a class that is not there, or has no
            signature.
    """
    import keras

    config, metadata = _read(path)
    _refuse_code(config)
    try:
        with _no_random_weights():
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as err:  # Keras raises whatever its layers raise
        raise _unloadable(config, err) from err
    framework = f"keras {metadata.get('keras_version', 'of unknown version')}"
    return KerasModel(model, _signature(model), framework)


def pinned(loaded: KerasModel, pins: Mapping[str, Shape]) -> Signature:
    """The signature with the shapes of some inputs set, and the outputs' shapes that follow from them.

    Args:
        loaded: a model.
        pins: shapes by input name; None keeps a dimension free.

    Raises:
        UsageError: there is no such input, or the model cannot take the shape.
    """
    import keras

    signature = loaded.signature
    if not pins:
        return signature
    unknown = set(pins) - {spec.name for spec in signature.inputs}
    if unknown:
        raise UsageError(
            "unknown-input",
            f"the model has no input {sorted(unknown)[0]!r}.",
            received=", ".join(sorted(pins)),
            hint=f"Its inputs are: {', '.join(map(str, signature.inputs))}.",
        )
    inputs = tuple(replace(spec, shape=_pinned(spec, pins.get(spec.name, spec.shape))) for spec in signature.inputs)
    tensors = [keras.KerasTensor(spec.shape, spec.dtype, name=spec.name) for spec in inputs]
    try:
        found = keras.tree.flatten(loaded.model.compute_output_spec(loaded._packed(tensors), training=False))
    except (ValueError, TypeError) as err:
        raise UsageError(
            "wrong-pin",
            f"the model cannot take inputs of this size: {str(err).splitlines()[0]}",
            received=", ".join(map(str, inputs)),
            hint="Choose another size with --input.",
        ) from err
    outputs = tuple(replace(spec, shape=tuple(t.shape)) for spec, t in zip(signature.outputs, found, strict=True))
    return Signature(inputs, outputs)


class KerasRuntime(Runtime):
    """Keras on the process's backend: the reference, on the CPU, in the model's own precision."""

    name = "keras"

    def version(self) -> str:
        import keras

        return f"{keras.__version__} ({keras.backend.backend()})"

    def open(self, path: Path, options: OpenOptions) -> KerasSession:
        """Load a ``.keras`` file.

        Raises:
            UsageError: an option was set that Keras does not have.
        """
        check_open(path, options)
        if options.threads is not None or options.accelerator != "CPU":
            raise UsageError(
                "not-for-keras",
                "the source runs on the CPU with the threads of its own framework.",
                received=f"threads={options.threads}, accelerator={options.accelerator}",
                hint="Leave out --threads and the accelerator for the source.",
            )
        return KerasSession(load(path))


class KerasSession(Session):
    """A loaded model. Outputs are numpy arrays of the signature's dtypes.

    JAX compiles the whole model once per input shape; the other backends run it layer by layer. The OpenVINO
    backend pins float32 where it evaluates tensors, so no bfloat16 enters.
    """

    def __init__(self, loaded: KerasModel) -> None:
        import keras

        self.signature = loaded.signature
        self._backend = keras.backend.backend()
        self._call: Callable[..., tuple[Any, ...]] | None = loaded
        if self._backend == "jax":
            import jax

            self._call = jax.jit(loaded.function())

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        import keras

        assert self._call is not None, "the session is closed"
        tensors = [keras.ops.convert_to_tensor(np.asarray(inputs[spec.name])) for spec in self.signature.inputs]
        with _without_gradients(self._backend):
            outputs = self._call(*tensors)
        return {
            spec.name: np.array(keras.ops.convert_to_numpy(output), dtype=spec.dtype)
            for spec, output in zip(self.signature.outputs, outputs, strict=True)
        }

    def effective(self) -> Effective:
        """Keras reports neither; the process was kept off accelerators."""
        return Effective(Reading("f32", "inferred"), Reading("CPU", "inferred"))

    def close(self) -> None:
        self._call = None


def _without_gradients(backend: str) -> Any:
    if backend != "torch":
        return nullcontext()
    import torch

    return torch.no_grad()


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


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    """Configuration and metadata of the archive."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head == _HDF5:
        raise ModelError(
            "legacy-keras-file",
            "this is an HDF5 file of an older Keras, not a .keras archive.",
            received=path.name,
            hint="Load it where it was made and save it again: model.save('model.keras').",
        )
    if not zipfile.is_zipfile(path):
        what = "the .keras file is cut off" if head == _ZIP else "this is not a .keras file, which is a zip archive"
        raise ModelError(
            "not-a-keras-file", f"{what}.", received=path.name, hint="Save it again: model.save('model.keras')."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            missing = {"config.json", "metadata.json"} - set(archive.namelist())
            if missing:
                raise ModelError(
                    "not-a-keras-file",
                    f"this zip archive has no {' and no '.join(sorted(missing))}, so it is no Keras model.",
                    received=path.name,
                    hint="Save the model with model.save('model.keras').",
                )
            return json.loads(archive.read("config.json")), json.loads(archive.read("metadata.json"))
    except (zipfile.BadZipFile, ValueError) as err:
        raise ModelError(
            "damaged-keras-file",
            f"the .keras file is damaged: {err}.",
            received=path.name,
            hint="Copy or save it again.",
        ) from err


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object in a configuration."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from _objects(item)


def _refuse_code(config: Any) -> None:
    found = list(_objects(config))
    if any(item["class_name"] == "__lambda__" for item in found):
        layers = [item["config"]["name"] for item in found if item["class_name"] == "Lambda"]
        raise ModelError(
            "lambda-layer",
            "the model holds Python code in a Lambda layer, and a model file never runs code here.",
            received=f"layer {', '.join(layers)}" if layers else None,
            hint="Replace the Lambda by a keras.layers or keras.ops call, or name a factory: path/to/file.py:factory.",
        )


def _unloadable(config: Any, err: Exception) -> ModelError:
    custom = [item["registered_name"] for item in _objects(config) if _is_custom(item)]
    if custom:
        return ModelError(
            "custom-layer",
            f"the model uses {custom[0]}, a class of your own that is not in the file.",
            received=", ".join(dict.fromkeys(custom)),
            hint="Name a factory in your code that returns the model: path/to/file.py:factory.",
        )
    lines = [line.strip() for line in str(err).splitlines() if line.strip()] or [type(err).__name__]
    return ModelError(
        "unloadable-model",
        f"Keras cannot load the model: {lines[0][:300]}",
        hint="Load it with the Keras version that saved it and save it again.",
    )


def _is_custom(item: dict[str, Any]) -> bool:
    package = str(item.get("module") or "").partition(".")[0]
    return bool(item.get("registered_name")) and package != "keras"


def _signature(model: Any) -> Signature:
    import keras

    if not getattr(model, "inputs", None):
        raise ModelError(
            "model-without-signature",
            "the model does not say what its inputs are.",
            received=f"{type(model).__name__} {model.name}",
            hint="Begin it with keras.Input(shape, name=...), or name a factory: path/to/file.py:factory.",
        )
    inputs = tuple(_spec(tensor.name, tensor) for tensor in model.inputs)
    names = [str(name) for name in getattr(model, "output_names", [model.layers[-1].name])]
    structure = None if isinstance(model, keras.Sequential) else model.output
    if isinstance(structure, dict) and len(structure) == len(model.outputs):
        names = sorted(structure)  # the order in which Keras flattens a dictionary
    if len(set(names)) != len(model.outputs):  # one layer gives several outputs
        names = [f"output_{index}" for index in range(len(model.outputs))]
    taken = {spec.name for spec in inputs}
    names = [f"{name}_output" if name in taken else name for name in names]  # names are unique in a graph
    return Signature(inputs, tuple(_spec(name, tensor) for name, tensor in zip(names, model.outputs, strict=True)))


def _spec(name: str, tensor: Any) -> TensorSpec:
    import keras

    return TensorSpec(name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))


def _pinned(spec: TensorSpec, shape: Shape) -> Shape:
    fits = len(shape) == len(spec.shape) and all(
        have is None or have == want for have, want in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise UsageError(
            "wrong-pin",
            f"input {spec} cannot have this shape.",
            received=str(replace(spec, shape=shape)),
            hint="Keep the lengths that the model fixes and choose only the free ones (?).",
        )
    return shape
