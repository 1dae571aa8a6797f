"""Shapes to trace a model with."""

from __future__ import annotations

from edgekit.errors import ModelError
from edgekit.types import Signature, TensorSpec


def traced(signature: Signature, batch: int) -> list[tuple[int, ...]]:
    """One shape without free dimensions per input.

    Args:
        signature: of the source.
        batch: length of the first axis where it is free.

    Raises:
        ModelError: another dimension is free. A tracer bakes the length of its example into the graph without a
            word (padding and resizing depend on it), and the numbers are wrong for every other.
    """
    shapes = []
    for spec in signature.inputs:
        first, *rest = spec.shape
        lengths = [length for length in rest if length is not None]
        if len(lengths) != len(rest):
            raise free_size(spec)
        shapes.append((batch if first is None else first, *lengths))
    return shapes


def free_size(spec: TensorSpec) -> ModelError:
    """The refusal of an input with a free dimension besides the batch."""
    pin = "x".join(["?", *("224" if length is None else str(length) for length in spec.shape[1:])])
    return ModelError(
        "free-size",
        f"this converter needs a fixed size for input {spec.name}.",
        received=str(spec),
        hint=f"Pin the size, for example: --input {spec.name}={pin}",
    )
