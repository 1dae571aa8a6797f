"""What an artifact may change of its source's names, shapes and types, and what it may not."""

from __future__ import annotations

from edgekit.results import unique
from edgekit.runtimes.widths import NARROWED
from edgekit.types import Signature, TensorSpec


def signature_faults(source: Signature, artifact: Signature) -> tuple[str, ...]:
    """Names, order, ranks, dtypes or free sizes that an artifact changed; what may change is in `not_kept`."""
    faults = []
    for noun, want, have in (("inputs", source.inputs, artifact.inputs), ("outputs", source.outputs, artifact.outputs)):
        same = len(want) == len(have) and all(map(_same_form, want, have))
        if not same:
            faults.append(f"the {noun} should be {', '.join(map(str, want))}, but are {', '.join(map(str, have))}.")
    return tuple(faults) or _fixed_sizes(source, artifact)


def _same_form(want: TensorSpec, have: TensorSpec) -> bool:
    same = want.name == have.name and len(want.shape) == len(have.shape)
    return same and have.dtype in (want.dtype, NARROWED.get(want.dtype))


def _fixed_sizes(source: Signature, artifact: Signature) -> tuple[str, ...]:
    """An application that may choose a height, width or number of steps in the source could not in the artifact.

    A batch that is fixed to 1 is only reported: one sample at a time is what devices do. Another number is of no use.
    """
    if source.batch is None and artifact.batch not in (None, 1):
        return (f"the batch is free in the source, but fixed to {artifact.batch} in the artifact.",)
    return tuple(
        f"input {want.name}: dimension {axis} is free in the source, but fixed to {length} in the artifact; "
        "to accept that, fix it with --input."
        for want, have in zip(source.inputs, artifact.inputs, strict=True)
        for axis, (free, length) in enumerate(zip(want.shape, have.shape, strict=True))
        if axis > 0 and free is None and length is not None
    )


def not_kept(source: Signature, artifact: Signature) -> tuple[str, ...]:
    """What an artifact cannot keep of its source's signature without being wrong.

    Returns:
        Such as ``batch fixed to 1`` and ``input ids: int64 became int32``.
    """
    found = []
    for want, have in zip(source.inputs, artifact.inputs, strict=True):
        if want.shape and want.shape[0] is None and have.shape[0] is not None:
            found.append(f"batch fixed to {have.shape[0]}")
    for noun, wanted, declared in (
        ("input", source.inputs, artifact.inputs),
        ("output", source.outputs, artifact.outputs),
    ):
        for want, have in zip(wanted, declared, strict=True):
            if want.dtype != have.dtype:
                found.append(f"{noun} {want.name}: {want.dtype} became {have.dtype}")
    return unique(found)
