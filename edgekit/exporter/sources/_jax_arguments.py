"""Names and types for the arguments and results of a JAX function, which are trees of arrays."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekit.errors import ModelError, UsageError
from edgekit.types import TensorSpec

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Arguments:
    """What a function takes.

    Attributes:
        specs: of the flattened arguments, in order: the batch free, and what the user described set.
        lengths: of the examples, per spec.
        tree: structure of ``(args, kwargs)``.
        notes: what the user should know.
    """

    specs: tuple[TensorSpec, ...]
    lengths: tuple[tuple[int, ...], ...]
    tree: Any
    notes: tuple[str, ...] = ()

    def call(self, function: Callable[..., Any], arrays: Sequence[Any]) -> Any:
        """Call it with flat arrays."""
        import jax

        args, kwargs = jax.tree.unflatten(self.tree, list(arrays))
        return function(*args, **kwargs)


def read_arguments(
    function: Callable[..., Any], examples: Mapping[str, Any] | Sequence[Any] | None, pins: Mapping[str, TensorSpec]
) -> Arguments:
    """What a function takes, by the examples beside its factory, else by what the user described.

    Names are those of the function's parameters, or the keys of ``example_inputs``; what lies inside an argument is
    joined to its name by ``_``.

    Raises:
        ModelError: nothing says what goes in, or it is no array.
        UsageError: a pin names no input, or has another number of axes.
    """
    if examples is None:
        examples = _from_pins(function, pins)
    args, kwargs = _bound(function, examples)
    return _pinned(_flattened(function, args, kwargs), pins)


def result_names(tree: Any, taken: Sequence[str]) -> tuple[str, ...]:
    """A name per array of a result: keys and fields joined by ``_``, or ``output``, ``output_0``, ``output_1``.

    Args:
        tree: of arrays.
        taken: names of inputs; names are unique in a graph.
    """
    import jax

    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    names = []
    for path in paths:
        parts = [_part(key) for key in path]
        name = "_".join(parts) if parts else "output"
        names.append(f"output_{name}" if name.replace("_", "").isdigit() else name)
    if len(set(names)) < len(names):
        names = [f"output_{index}" for index in range(len(names))]
    return tuple(f"{name}_output" if name in taken else name for name in names)


def argument_names(tree: Any) -> tuple[str, ...]:
    """A name per array of an ``(args, kwargs)`` structure whose function is not known: its keys, else ``input_0``…"""
    import jax

    indices = jax.tree.unflatten(tree, list(range(tree.num_leaves)))
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(indices)[0]]
    names = []
    for path in paths:
        parts = [_part(key) for key in path[1:]]  # the first says whether it is one of args or of kwargs
        named = [part for part in parts if not part.isdigit()]
        names.append("_".join(named) if named else "input_" + "_".join(parts))
    if len(set(names)) < len(names):
        names = [f"input_{index}" for index in range(len(names))]
    return tuple(names)


def _from_pins(function: Callable[..., Any], pins: Mapping[str, TensorSpec]) -> Mapping[str, Any]:
    """Abstract arrays for a function without examples; float32 unless the pin says otherwise."""
    import jax

    parameters = _parameters(function)
    needed = [item.name for item in parameters if item.default is item.empty and item.kind in (*_POSITIONAL, *_NAMED)]
    missing = [name for name in needed if name not in pins]
    if missing or not pins:
        names = ", ".join(missing or [item.name for item in parameters]) or "none that can be read"
        shown = (missing or ["x"])[0]
        raise ModelError(
            "no-example-inputs",
            f"nothing says which arrays the function takes; its parameters are {names}.",
            received=type(function).__name__,
            hint=f"Write example_inputs = {{'{shown}': numpy.zeros((1, 224, 224, 3), 'float32')}} beside the factory, "
            f"or give --input {shown}=?x224x224x3:float32",
        )
    lengths = {name: tuple(1 if length is None else length for length in pin.shape) for name, pin in pins.items()}
    return {name: jax.ShapeDtypeStruct(lengths[name], pin.dtype or "float32") for name, pin in pins.items()}


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a callable written in C shows none
        return []


def _bound(
    function: Callable[..., Any], examples: Mapping[str, Any] | Sequence[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments; names go in the order of the parameters."""
    if not isinstance(examples, Mapping):
        return tuple(examples), {}
    parameters = _parameters(function)
    names = [item.name for item in parameters if item.kind in (*_POSITIONAL, *_NAMED)]
    needed = [item.name for item in parameters if item.default is item.empty and item.name in names]
    kinds = {item.kind for item in parameters}
    if set(examples) <= set(names) and set(needed) <= set(examples):
        return (), OrderedDict((name, examples[name]) for name in names if name in examples)
    if inspect.Parameter.VAR_POSITIONAL in kinds and not needed:
        return tuple(examples.values()), {}
    if inspect.Parameter.VAR_KEYWORD in kinds and set(needed) <= set(examples):
        return (), OrderedDict(examples)
    if len(needed) <= 1 and len(names) >= 1 and not set(examples) & set(names):
        return (dict(examples),), {}  # one argument that is a dictionary
    raise ModelError(
        "bad-example-inputs",
        f"the function takes {', '.join(names) or 'no arguments'}.",
        received=f"inputs {', '.join(examples)}",
        hint="Name the inputs in example_inputs, or with --input, as the function's parameters are called.",
    )


def _flattened(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    import jax

    parameters = _parameters(function)
    names = [item.name for item in parameters if item.kind in _POSITIONAL]
    lone = len(args) == 1 and not kwargs and isinstance(args[0], Mapping)
    leaves, tree = jax.tree_util.tree_flatten_with_path((args, kwargs))
    specs, notes = [], []
    for (side, *path), leaf in leaves:
        parts = [_part(key) for key in path]
        if lone:
            parts = parts[1:]
        elif side.idx == 0:
            index = int(parts[0])
            parts[0] = names[index] if index < len(names) else f"input_{index}"
        spec, note = _spec("_".join(parts), leaf)
        specs.append(spec)
        notes += [note] if note else []
    found = [spec.name for spec in specs]
    if not specs or len(set(found)) < len(found):
        raise ModelError(
            "bad-example-inputs",
            "example_inputs holds no arrays." if not specs else "two inputs have the same name.",
            received=", ".join(found) or "nothing",
            hint="Example: example_inputs = {'image': numpy.zeros((1, 32, 32, 3), 'float32')}",
        )
    return Arguments(tuple(specs), tuple(tuple(n or 0 for n in spec.shape) for spec in specs), tree, tuple(notes))


def _spec(name: str, leaf: Any) -> tuple[TensorSpec, str]:
    """The spec of an example as JAX takes it, and a word where it takes another type."""
    import jax
    import numpy as np

    array = leaf if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else np.asarray(leaf)
    if not array.shape:
        raise ModelError(
            "scalar-input",
            f"input {name} is a single value; the first axis of every input is the batch.",
            received=repr(leaf)[:80],
            hint=f"Bind it: return functools.partial(function, {name}=…), and leave it out of example_inputs.",
        )
    if not isinstance(array.dtype, np.dtype) or array.dtype.kind not in "fiub":
        raise ModelError(
            "unsupported-dtype",
            f"input {name} holds {array.dtype}, which no deployment format takes.",
            received=str(array.dtype),
            hint="Take float32 or int32 and convert inside the function.",
        )
    taken = np.dtype(jax.dtypes.canonicalize_dtype(array.dtype))
    note = f"input {name} is {taken}: JAX makes {array.dtype} that, unless jax_enable_x64 is set"
    return TensorSpec(name, tuple(array.shape), str(taken)), "" if taken == array.dtype else note


def check_pins(names: Sequence[str], pins: Mapping[str, TensorSpec]) -> None:
    """Refuse pins for inputs that are not there.

    Raises:
        UsageError: names those that are.
    """
    unknown = set(pins) - set(names)
    if unknown:
        raise UsageError(
            "unknown-input",
            f"the model has no input {sorted(unknown)[0]!r}.",
            received=", ".join(sorted(pins)),
            hint=f"Its inputs are: {', '.join(names)}.",
        )


def _pinned(arguments: Arguments, pins: Mapping[str, TensorSpec]) -> Arguments:
    """The batch freed, and what the user described set."""
    check_pins([spec.name for spec in arguments.specs], pins)
    specs = []
    for spec in arguments.specs:
        pin = pins.get(spec.name, replace(spec, shape=(None, *spec.shape[1:])))
        if len(pin.shape) != len(spec.shape):
            raise wrong_pin(spec, pin)
        specs.append(replace(pin, dtype=pin.dtype or spec.dtype))
    return replace(arguments, specs=tuple(specs))


def wrong_pin(spec: TensorSpec, pin: TensorSpec) -> UsageError:
    """The refusal of a shape that an input cannot have."""
    return UsageError(
        "wrong-pin",
        f"input {spec} cannot have this shape.",
        received=str(pin),
        hint="Keep the number of axes, and the lengths that the model fixes.",
    )


def _part(key: Any) -> str:
    """A step into a tree in words: a key, an index or a field."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key).strip(".[]'\"")
