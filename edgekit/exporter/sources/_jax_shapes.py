"""Shapes of JAX functions: free dimensions are symbols, where the function can be traced with symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError
from edgekit.exporter.sources._jax_arguments import result_names
from edgekit.types import Signature, TensorSpec

if TYPE_CHECKING:
    import jax

#: Lengths of the batch and of other free dimensions at which a function is tried that takes no symbols.
TRIED = ((2, 64), (3, 96))


def symbolic(specs: Sequence[TensorSpec]) -> list[jax.ShapeDtypeStruct]:
    """One abstract array per input: ``batch`` for a free first axis, a symbol of its own for any other free one."""
    import jax

    scope = jax.export.SymbolicScope()
    arrays = []
    for index, spec in enumerate(specs):
        names = ["batch", *(f"size{index}_{axis}" for axis in range(1, len(spec.shape)))]
        lengths = [name if length is None else str(length) for name, length in zip(names, spec.shape, strict=True)]
        shape = jax.export.symbolic_shape(",".join(lengths), scope=scope)
        arrays.append(jax.ShapeDtypeStruct(shape, spec.dtype))
    return arrays


def concrete(specs: Sequence[TensorSpec], batch: int, size: int) -> list[jax.ShapeDtypeStruct]:
    """One abstract array per input, free dimensions filled in."""
    import jax

    return [
        jax.ShapeDtypeStruct(
            [(size if axis else batch) if n is None else n for axis, n in enumerate(spec.shape)], spec.dtype
        )
        for spec in specs
    ]


def described(
    call: Callable[..., Any], specs: Sequence[TensorSpec], lengths: Sequence[tuple[int, ...]]
) -> tuple[Signature, list[jax.ShapeDtypeStruct]]:
    """The signature of a function, and abstract inputs that it can be traced with.

    Symbols are tried, and two lengths of every free dimension: what differs between the results is free. A function
    that takes only the batch of its example gets that one fixed.

    Args:
        call: of flat arrays; returns a tree.
        specs: of the inputs, free dimensions as None.
        lengths: of the example inputs.

    Raises:
        ModelError: JAX cannot trace it, or an output has no batch.
    """
    fixed = [replace(spec, shape=(length[0], *spec.shape[1:])) for spec, length in zip(specs, lengths, strict=True)]
    sizes = [concrete(specs, *tried) for tried in TRIED]
    only_batch = not any(None in spec.shape[1:] for spec in specs)
    # JAX takes any length for a symbol where it should ask, in a reshape for one: so numbers are tried too.
    ways = [(specs, [symbolic(specs), *(sizes if only_batch else ())]), (specs, sizes)]
    ways += [(fixed, [concrete(fixed, *tried) for tried in TRIED])]
    refusal: Exception | None = None
    for inputs, tries in ways:
        try:
            trees = [shapes_of(call, arrays) for arrays in tries]
        except Exception as err:  # noqa: BLE001  # the user's function raises whatever it likes; raised below
            refusal = err
            continue
        return Signature(tuple(inputs), outputs_of(trees, inputs)), tries[0]
    assert refusal is not None
    raise untraceable(refusal, specs) from refusal


def shapes_of(call: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    """The tree of abstract arrays that a function returns."""
    import jax

    return jax.eval_shape(call, *arrays)


def outputs_of(trees: Sequence[Any], inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Specs of the results; a length that is a symbol, or differs between the trees, is free.

    Raises:
        ModelError: there are no outputs, one has no batch, or one has a type that no format takes.
    """
    import jax

    names = result_names(trees[0], [spec.name for spec in inputs])
    outputs = []
    for name, *found in zip(names, *map(jax.tree.leaves, trees), strict=True):
        lengths = zip(*(array.shape for array in found), strict=True)
        shape = tuple(n[0] if isinstance(n[0], int) and len(set(n)) == 1 else None for n in lengths)
        dtype = found[0].dtype
        if not isinstance(dtype, np.dtype) or dtype.kind not in "fiub":
            raise ModelError(
                "unsupported-dtype",
                f"output {name} holds {dtype}, which no deployment format takes.",
                received=str(dtype),
                hint="Convert it at the end of the function: .astype('float32')",
            )
        outputs.append(TensorSpec(name, shape, str(dtype)))
    if not outputs:
        raise ModelError(
            "no-outputs", "the function returns no arrays.", hint="Return an array, or a tuple or dictionary."
        )
    free = all(spec.shape[0] is None for spec in inputs)
    for spec in outputs:
        if not spec.shape or (free and spec.shape[0] is not None):
            raise ModelError(
                "output-without-batch",
                f"the first axis of output {spec.name} is not the batch.",
                received=str(spec),
                hint="Return arrays with the batch first, or fix the batch with --input: NAME=1x…",
            )
    return tuple(outputs)


def untraceable(err: Exception, specs: Sequence[TensorSpec]) -> ModelError:
    """The error for a function that JAX cannot trace; raise it from JAX's own."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()] or [""]
    return ModelError(
        "untraceable-function",
        f"JAX cannot trace the function: {type(err).__name__}: {lines[0][:300]}",
        received=", ".join(map(str, specs)),
        hint="It must run under jax.jit on these inputs; return a module of Flax or Equinox itself, not a closure.",
    )
