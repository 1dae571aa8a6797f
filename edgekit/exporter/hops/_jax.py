"""Shapes for tracing with JAX, which keeps free dimensions as symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.types import Signature

if TYPE_CHECKING:
    import jax


def symbolic(signature: Signature) -> list[jax.ShapeDtypeStruct]:
    """One abstract array per input: ``batch`` for a free first axis, a symbol of its own for any other free one."""
    import jax

    scope = jax.export.SymbolicScope()
    arrays = []
    for index, spec in enumerate(signature.inputs):
        names = ["batch", *(f"size{index}_{axis}" for axis in range(1, len(spec.shape)))]
        lengths = [name if length is None else str(length) for name, length in zip(names, spec.shape, strict=True)]
        shape = jax.export.symbolic_shape(",".join(lengths), scope=scope)
        arrays.append(jax.ShapeDtypeStruct(shape, spec.dtype))
    return arrays
