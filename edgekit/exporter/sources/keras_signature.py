"""Inputs and outputs of a Keras model: their names, shapes and dtypes, and sizes that the user pins."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.sources.keras_precision import OTHERS
from edgekit.exporter.sources.pins import pinned_inputs
from edgekit.types import Signature, TensorSpec

_ANSI = re.compile(r"\x1b\[[0-9;]*m")

#: What Keras puts around the error of a layer.
_PREFACE = re.compile(
    r"Exception encountered when calling |Arguments received by |<class .* could not be deserialized|config=\{"
    r"|Could not automatically infer "
)

Shape = tuple[int | None, ...]


def with_inputs(model: Any, examples: Mapping[str, Any] | Sequence[Any] | None, pins: Mapping[str, TensorSpec]) -> Any:
    """The model itself where it knows its inputs; else, for a subclassed one, a functional model around it.

    Its inputs come from the examples beside the factory, from the user's ``--input``, or from what the file says it
    was built with. They go to the arguments of ``call`` of the same names, or into the one argument it takes: as they
    are, as a dictionary or as a list, whichever it accepts.

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
    arguments = _arguments(model)
    specs = _described(model, arguments, examples, pins)
    if not specs:
        wanted = " ".join(f"--input {name}=?x28x28x1" for name in arguments)
        inside = f", or a model inside it: --submodel {' or '.join(submodels(model))}" if submodels(model) else ""
        raise ModelError(
            "model-without-signature",
            f"the model does not say what its inputs are; its call takes {', '.join(arguments)}.",
            received=f"{type(model).__name__} {model.name}",
            hint=f"Give the sizes, for example {wanted}{inside}, or begin the model with keras.Input(shape, name=...).",
        )
    made = {spec.name: keras.Input(batch_shape=spec.shape, dtype=spec.dtype, name=spec.name) for spec in specs}
    refusals: list[Exception] = []
    for call in _ways(model, made, arguments):
        try:
            return keras.Model(list(made.values()), call(), name=model.name)
        except Exception as err:  # noqa: BLE001 -- the user's call() raises whatever it likes; the first is told
            refusals.append(err)
    raise ModelError(
        "uncallable-model",
        f"the model cannot be called on its inputs: {first_line(refusals[0])}",
        received=", ".join(map(str, specs)),
        hint=f"Give every argument that its call takes ({', '.join(arguments)}): --input NAME=?x28x28x1.",
    ) from refusals[0]


def submodels(model: Any) -> dict[str, Any]:
    """Models inside a model, by the names of their attributes and their own."""
    import keras

    attributes = {**vars(model), **getattr(model, "_modules", {})}  # torch keeps modules apart
    found = {layer.name: layer for layer in getattr(model, "layers", ())} | attributes
    return {name: part for name, part in sorted(found.items()) if isinstance(part, keras.Model) and name[0] != "_"}


def first_line(err: Exception) -> str:
    """What an error of Keras says first, without its own preface."""
    lines = [_ANSI.sub("", line).strip() for line in str(err).splitlines()]
    telling = [line for line in lines if line and not _PREFACE.match(line)]
    return (telling or [type(err).__name__])[0].removeprefix("Exception encountered: ")[:300]


def _arguments(model: Any) -> list[str]:
    """Arguments of ``call`` that take tensors: those without a default, or the first one."""
    parameters = [p for p in inspect.signature(model.call).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    needed = [p.name for p in parameters if p.default is p.empty and p.name not in ("training", "mask")]
    return needed or [p.name for p in parameters[:1]] or ["inputs"]


def _ways(model: Any, made: dict[str, Any], arguments: list[str]) -> list[Callable[[], Any]]:
    """Ways to call a model on named tensors, the likeliest first."""
    known = inspect.signature(model.call).parameters
    ways: list[Callable[[], Any]] = []
    if set(made) <= set(known):
        ways.append(lambda: model(**made))
    if len(made) == 1:
        ways.append(lambda: model(*made.values()))
    ways.append(lambda: model(dict(made)))
    if len(made) > 1:
        ways.append(lambda: model(list(made.values())))
    if len(made) == len(arguments) > 1:
        ways.append(lambda: model(*made.values()))
    return ways


def _described(model: Any, arguments: list[str], examples: Any, pins: Mapping[str, TensorSpec]) -> list[TensorSpec]:
    """What goes in, by name; nothing where nothing describes it."""
    if examples is None:
        return [replace(spec, dtype=spec.dtype or "float32") for spec in pins.values()] or _as_built(model, arguments)
    if not isinstance(examples, Mapping):
        names = arguments if len(examples) == len(arguments) else [f"input_{index}" for index in range(len(examples))]
        examples = dict(zip(names, examples, strict=True))
    arrays = {str(name): np.asarray(array) for name, array in examples.items()}
    specs = {name: TensorSpec(name, (None, *array.shape[1:]), array.dtype.name) for name, array in arrays.items()}
    chosen = {
        name: replace(spec, dtype=spec.dtype or specs[name].dtype) for name, spec in pins.items() if name in specs
    }
    return list({**specs, **chosen}.values())


def _as_built(model: Any, arguments: list[str]) -> list[TensorSpec]:
    """From the shapes that Keras recorded when the model was built; they say nothing of dtypes."""
    import keras

    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes or len(arguments) > 1:  # Keras records the first argument only
        return []
    shape = next(iter(shapes.values()))
    if isinstance(shape, Mapping):
        named = {str(name): tuple(lengths) for name, lengths in shape.items()}
    elif shape and isinstance(shape[0], (tuple, list)):
        named = {f"input_{index}": tuple(lengths) for index, lengths in enumerate(shape)}
    else:
        named = {arguments[0]: tuple(shape)}
    indices = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
    return [
        TensorSpec(name, (None, *lengths[1:]), "int32" if indices and len(lengths) == 2 else "float32")
        for name, lengths in named.items()
    ]


def signature_of(model: Any) -> Signature:
    """Names of inputs and outputs, in the order in which Keras flattens them."""
    import keras

    inputs = tuple(_spec(_input_name(tensor), tensor) for tensor in model.inputs)
    names = [str(name) for name in getattr(model, "output_names", [model.layers[-1].name])]
    structure = None if isinstance(model, keras.Sequential) else model.output
    if isinstance(structure, dict) and len(structure) == len(model.outputs):
        names = sorted(structure)  # the order in which Keras flattens a dictionary
    if len(set(names)) != len(model.outputs):  # one layer gives several outputs
        names = [f"output_{index}" for index in range(len(model.outputs))]
    taken = {spec.name for spec in inputs}
    names = [f"{name}_output" if name in taken else name for name in names]  # names are unique in a graph
    outputs = model.outputs
    if any(keras.backend.standardize_dtype(tensor.dtype) in OTHERS for tensor in outputs):
        # The graph was drawn before the precision changed, where a module made its model on import.
        outputs = keras.tree.flatten(model.compute_output_spec(_structure(model), training=False))
    return Signature(inputs, tuple(_spec(name, tensor) for name, tensor in zip(names, outputs, strict=True)))


def packed(model: Any, tensors: Sequence[Any]) -> Any:
    """Tensors in the order of the signature, in the structure in which the model takes them."""
    import keras

    return keras.tree.pack_sequence_as(_structure(model), list(tensors))


def _structure(model: Any) -> Any:
    """Symbolic inputs in the structure in which the model takes them."""
    import keras

    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _input_name(tensor: Any) -> str:
    """The name of the input layer, which a file keeps; the tensor's own may be a placeholder until it is loaded."""
    return str(tensor._keras_history.operation.name)


def pinned(model: Any, signature: Signature, pins: Mapping[str, TensorSpec]) -> Signature:
    """The signature with the shapes of some inputs set, and the outputs' shapes that follow from them.

    Args:
        model: a ``keras.Model`` that knows its inputs.
        signature: its own.
        pins: what the user said of inputs, by name; None keeps a dimension free, an empty dtype is the model's own.

    Raises:
        UsageError: there is no such input, or the model cannot take the shape.
    """
    import keras

    if not pins:
        return signature
    inputs = pinned_inputs(signature, pins)
    tensors = [keras.KerasTensor(spec.shape, spec.dtype, name=spec.name) for spec in inputs]
    try:
        found = keras.tree.flatten(model.compute_output_spec(packed(model, tensors), training=False))
    except (ValueError, TypeError) as err:
        raise UsageError(
            "wrong-pin",
            f"the model cannot take inputs of this size: {first_line(err)}",
            received=", ".join(map(str, inputs)),
            hint="Choose another size with --input.",
        ) from err
    outputs = tuple(replace(spec, shape=tuple(t.shape)) for spec, t in zip(signature.outputs, found, strict=True))
    return Signature(inputs, outputs)


def _spec(name: str, tensor: Any) -> TensorSpec:
    import keras

    return TensorSpec(name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
