"""Arguments and results of a torch module: their names, and the sizes that it keeps free."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.errors import ModelError, UsageError
from edgekit.types import TensorSpec

#: Lengths of the first axis that a module is run with; the first is traced, for torch takes 0 and 1 for constants.
BATCHES = (2, 3, 1)

#: Lengths tried for other free axes after those of the examples and their double.
SIZES = (32, 64, 16, 8)

Run = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Slot:
    """Where an input goes in the arguments."""

    index: int


@dataclass(frozen=True)
class Call:
    """How to call a module.

    Attributes:
        args, kwargs: arguments with a `Slot` for every input; all else in them is passed as it is.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def filled(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with inputs in the signature's order."""

        def fill(leaf: Any) -> Any:
            return tensors[leaf.index] if isinstance(leaf, Slot) else leaf

        return tuple(rebuilt(value, fill) for value in self.args), {
            name: rebuilt(value, fill) for name, value in self.kwargs.items()
        }


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What a nested structure holds, with a name of keys, fields and places joined by ``_``."""
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = list(zip(value._fields, value, strict=True))
    elif isinstance(value, (tuple, list)):
        items = [(str(index), item) for index, item in enumerate(value)]
    elif dataclasses.is_dataclass(value) and not isinstance(value, (type, Slot)):
        items = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    else:
        yield name, value
        return
    for key, item in items:
        yield from leaves(item, f"{name}_{key}" if name else key)


def rebuilt(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same structure with every leaf replaced, in the order of `leaves`."""
    if isinstance(value, Mapping):
        return type(value)({key: rebuilt(item, leaf) for key, item in value.items()})  # type: ignore[call-arg]  # a dict
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(rebuilt(item, leaf) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(rebuilt(item, leaf) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, Slot)):
        return replace(value, **{f.name: rebuilt(getattr(value, f.name), leaf) for f in dataclasses.fields(value)})
    return leaf(value)


def arguments(
    module: Any, examples: Mapping[str, Any] | Sequence[Any] | None, pins: Mapping[str, TensorSpec]
) -> tuple[Call, dict[str, Any]]:
    """How to call a module, and one example tensor per input by name.

    Args:
        module: a ``torch.nn.Module``.
        examples: arrays or tensors by parameter of ``forward``, or in its order; other values are passed on.
        pins: descriptions by name, which serve where there are no examples.

    Raises:
        ModelError: nothing says what the inputs are, or the examples do not fit ``forward``.
    """
    parameters = [
        parameter
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    given = _from_pins(pins) if examples is None else examples
    if not given:
        raise _no_signature(module, parameters)
    args, kwargs = _bound(module, parameters, given)
    tensors: dict[str, Any] = {}

    def take(name: str, value: Any) -> Any:
        names = (found for found, _ in leaves(value, name))

        def leaf(item: Any) -> Any:
            label = next(names)
            if not hasattr(item, "shape"):
                return item
            tensors[_free_name(label, tensors)] = _tensor(label, item)
            return Slot(len(tensors) - 1)

        return rebuilt(value, leaf)

    positional = [*(parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL)]
    positional += [f"args_{index}" for index in range(len(args))]
    call = Call(
        tuple(take(name, value) for name, value in zip(positional, args, strict=False)),
        {name: take("" if isinstance(value, Mapping) and len(kwargs) == 1 else name, value)
         for name, value in kwargs.items()},
    )  # fmt: skip
    if not tensors:
        raise _no_signature(module, parameters)
    return call, tensors


def _from_pins(pins: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """Zeros of the described shapes."""
    free = [BATCHES[0], *([SIZES[0]] * 8)]
    return {
        name: np.zeros(
            [free[axis] if length is None else length for axis, length in enumerate(pin.shape)], pin.dtype or "float32"
        )
        for name, pin in pins.items()
    }


def _bound(module: Any, parameters: Sequence[inspect.Parameter], given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments."""
    if not isinstance(given, Mapping):
        args, kwargs = tuple(given), {}
    else:
        args, kwargs = (), dict(given)
        names = {parameter.name for parameter in parameters}
        needed = [parameter for parameter in parameters if parameter.default is parameter.empty]
        if not set(kwargs) & names and len(needed) == 1 and len(parameters) == 1:
            if needed[0].kind is not needed[0].VAR_POSITIONAL:
                kwargs = {needed[0].name: kwargs}  # forward takes one dictionary
            else:
                args, kwargs = tuple(kwargs.values()), {}
        for parameter in parameters:
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in kwargs:
                args = (*args, kwargs.pop(parameter.name))
    try:
        inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError as err:
        raise ModelError(
            "inputs-do-not-fit-forward",
            f"forward of {type(module).__name__} cannot be called with these inputs: {err}.",
            received=", ".join(map(str, given)) if isinstance(given, Mapping) else f"{len(args)} inputs in order",
            hint=f"Its parameters are: {', '.join(parameter.name for parameter in parameters)}.",
        ) from err
    return args, kwargs


def _tensor(name: str, value: Any) -> Any:
    """An example as a tensor on the CPU; double precision of NumPy, which is its default, becomes single.

    Raises:
        ModelError: it has no batch axis, or a type that NumPy lacks.
    """
    import torch

    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
    else:
        array = np.array(value)
        tensor = torch.from_numpy(array.astype(np.float32) if array.dtype == np.float64 else array)
    check_tensor("input", name, tensor)
    return tensor


def check_tensor(what: str, name: str, value: Any) -> None:
    """Refuse what cannot be an input or an output: it needs a batch axis and a type that NumPy has.

    Raises:
        ModelError: says which.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        raise ModelError(
            "not-a-tensor",
            f"{what} {name} is no tensor.",
            received=type(value).__name__,
            hint="Return tensors only; for a transformers model pass use_cache=False in example_inputs.",
        )
    if value.dim() == 0:
        raise ModelError(
            "no-batch-axis",
            f"{what} {name} is a single number, without a batch axis.",
            received=f"{name}=scalar:{dtype_of(value)}",
            hint="Give every input and output a first axis for the samples: tensor[None], or keepdim=True.",
        )
    if value.dtype == torch.bfloat16 or value.is_sparse or value.is_quantized:
        raise ModelError(
            "no-numpy-type",
            f"{what} {name} has a type that NumPy lacks.",
            received=f"{name}:{dtype_of(value)}",
            hint="Return the model in float32 from the factory: model.float().",
        )


def dtype_of(tensor: Any) -> str:
    """NumPy's name of a tensor's type."""
    return str(tensor.dtype).removeprefix("torch.")


def _no_signature(module: Any, parameters: Sequence[inspect.Parameter]) -> ModelError:
    names = [parameter.name for parameter in parameters if parameter.default is parameter.empty] or ["NAME"]
    return ModelError(
        "model-without-signature",
        "a torch module does not say what its inputs are.",
        received=f"{type(module).__name__}.forward({', '.join(parameter.name for parameter in parameters)})",
        hint="Write example_inputs = (torch.zeros(1, 3, 224, 224),) beside the factory, or give "
        f"{' '.join(f'--input {name}=?x3x224x224' for name in names)}.",
    )


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """The name, or one with a number where it is taken."""
    number, found = 1, name
    while found in taken:
        number, found = number + 1, f"{name}_{number + 1}"
    return found


def input_specs(examples: Mapping[str, Any], pins: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    """Inputs with a free batch and the other lengths of the examples, as far as pins say nothing else.

    Raises:
        UsageError: there is no such input, or the pin has another number of axes.
    """
    specs = {name: TensorSpec(name, (None, *value.shape[1:]), dtype_of(value)) for name, value in examples.items()}
    unknown = [name for name in pins if name not in specs]
    if unknown:
        raise UsageError(
            "unknown-input",
            f"the model has no input {unknown[0]!r}.",
            received=", ".join(sorted(pins)),
            hint=f"Its inputs are: {', '.join(map(str, specs.values()))}.",
        )
    for name, pin in pins.items():
        if len(pin.shape) != len(specs[name].shape):
            raise UsageError(
                "wrong-pin",
                f"input {specs[name]} has {len(specs[name].shape)} axes.",
                received=str(pin),
                hint="Give a length or ? for each of them, the batch first.",
            )
        specs[name] = replace(pin, dtype=pin.dtype or specs[name].dtype)
    return tuple(specs.values())


def output_names(structure: Any, inputs: Sequence[str]) -> list[str]:
    """A name for every output that is not None; one called like an input gets another."""
    named = [name or "output" for name, leaf in leaves(structure, "") if leaf is not None]
    if not isinstance(structure, Mapping) and not hasattr(structure, "_fields"):
        named = [f"output_{name}" if name[:1].isdigit() else name for name in named]
    if named == ["output_0"]:
        named = ["output"]
    found: dict[str, None] = {}
    for name in named:
        found[_free_name(f"{name}_output" if name in inputs else name, found)] = None
    return list(found)
