"""Sizes that the user pins with ``--input``, held against a signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.errors import UsageError
from edgekit.types import Signature, TensorSpec


def pinned_inputs(signature: Signature, pins: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    """The inputs of a signature with some free lengths set.

    Raises:
        UsageError: there is no such input, or the model fixes another length.
    """
    unknown = set(pins) - {spec.name for spec in signature.inputs}
    if unknown:
        raise UsageError(
            "unknown-input",
            f"the model has no input {sorted(unknown)[0]!r}.",
            received=", ".join(sorted(pins)),
            hint=f"Its inputs are: {', '.join(map(str, signature.inputs))}.",
        )
    return tuple(pinned(spec, pins.get(spec.name, spec)) for spec in signature.inputs)


def pinned(spec: TensorSpec, pin: TensorSpec) -> TensorSpec:
    """One input with the lengths of a pin.

    Raises:
        UsageError: another number of axes, or another length where the model fixes one.
    """
    fits = len(pin.shape) == len(spec.shape) and all(
        have is None or have == want for have, want in zip(spec.shape, pin.shape, strict=True)
    )
    if not fits:
        raise UsageError(
            "wrong-pin",
            f"input {spec} cannot have this shape.",
            received=str(pin),
            hint="Keep the lengths that the model fixes and choose only the free ones (?).",
        )
    return replace(spec, shape=pin.shape)
