"""Inputs and outputs of a Keras model: their names, shapes and dtypes, and sizes that the user pins."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError, UsageError
from edgekit.types import Signature, TensorSpec

if TYPE_CHECKING:
    from edgekit.exporter.sources.keras_ import KerasModel

Shape = tuple[int | None, ...]


def with_inputs(model: Any, examples: Mapping[str, Any] | Sequence[Any] | None, pins: Mapping[str, TensorSpec]) -> Any:
    """The model itself where it knows its inputs; else, for a subclassed one, a functional model around it.

    Its inputs come from the examples beside the factory, from the user's ``--input``, or from what the file says it
    was built with.

    Args:
        model: a ``keras.Model``.
        examples: arrays by name or in order, the batch first.
        pins: descriptions by name.

    Raises:
        ModelError: nothing says what the inputs are, or the model cannot be called on them.
    """
    import keras

    if getattr(model, "inputs", None):
        return model
    described = _described(model, examples, pins)
    if described is None:
        raise ModelError(
            "model-without-signature",
            "the model does not say what its inputs are.",
            received=f"{type(model).__name__} {model.name}",
            hint="Give --input NAME=?x28x28x1, or begin the model with keras.Input(shape, name=...).",
        )
    try:
        return keras.Model(described, model(described), name=model.name)
    except Exception as err:  # the user's call() raises whatever it likes
        raise ModelError(
            "uncallable-model",
            f"the model cannot be called on its inputs: {(str(err).strip().splitlines() or [type(err).__name__])[0]}",
            received=", ".join(str(_spec(tensor.name, tensor)) for tensor in keras.tree.flatten(described)),
            hint="Give the shapes with --input NAME=?x28x28x1.",
        ) from err


def _described(model: Any, examples: Any, pins: Mapping[str, TensorSpec]) -> Any:
    """Symbolic inputs in the structure that the model's call takes; None where nothing describes them."""
    import keras

    first = next(iter(inspect.signature(model.call).parameters))
    if examples is not None:
        if not isinstance(examples, Mapping) and len(examples) == 1:
            examples = {first: examples[0]}
        named = examples if isinstance(examples, Mapping) else dict(enumerate(examples))
        arrays = {str(name): np.asarray(array) for name, array in named.items()}
        specs = [TensorSpec(name, (None, *array.shape[1:]), array.dtype.name) for name, array in arrays.items()]
    elif pins:
        specs = [replace(spec, dtype=spec.dtype or "float32") for spec in pins.values()]
    else:
        return _as_built(model, first)
    made = {spec.name: keras.Input(batch_shape=spec.shape, dtype=spec.dtype, name=spec.name) for spec in specs}
    if len(made) == 1 and first in made:
        return made[first]
    return list(made.values()) if isinstance(examples, (tuple, list)) else made


def _as_built(model: Any, first: str) -> Any:
    """From the shapes that Keras recorded when the model was built."""
    import keras

    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes or len(shapes) != 1:
        return None
    (shape,) = shapes.values()
    if isinstance(shape, Mapping):
        return {
            name: keras.Input(batch_shape=(None, *tuple(lengths)[1:]), name=name) for name, lengths in shape.items()
        }
    if shape and isinstance(shape[0], (tuple, list)):
        return [
            keras.Input(batch_shape=(None, *lengths[1:]), name=f"input_{index}") for index, lengths in enumerate(shape)
        ]
    return keras.Input(batch_shape=(None, *tuple(shape)[1:]), name=first)


def signature_of(model: Any) -> Signature:
    """Names of inputs and outputs, in the order in which Keras flattens them."""
    import keras

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


def pinned(loaded: KerasModel, pins: Mapping[str, TensorSpec]) -> Signature:
    """The signature with the shapes of some inputs set, and the outputs' shapes that follow from them.

    Args:
        loaded: a model.
        pins: what the user said of inputs, by name; None keeps a dimension free, an empty dtype is the model's own.

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
    inputs = tuple(replace(spec, shape=_pinned(spec, pins.get(spec.name, spec).shape)) for spec in signature.inputs)
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
