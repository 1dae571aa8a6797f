"""Integers that an artifact holds in half the width of its source's. Part of the device core."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.errors import DataError
from edgekit.types import Signature

#: What a converter may make of an integer type: indices stay the same numbers. Never done to floats.
NARROWED = {"int64": "int32", "uint64": "uint32"}


def narrowed(signature: Signature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs for an artifact: 64-bit integers as the 32-bit ones that it declares; all others as they are.

    Args:
        signature: of the artifact.
        inputs: one array per input name, in the source's dtypes.

    Raises:
        DataError: a number does not fit into 32 bits.
    """
    fed = dict(inputs)
    for spec in signature.inputs:
        if spec.name in inputs and NARROWED.get(str(getattr(inputs[spec.name], "dtype", ""))) == spec.dtype:
            fed[spec.name] = _cast(spec.name, inputs[spec.name], spec.dtype)
    return fed


def _cast(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise DataError(
            "number-too-large",
            f"the artifact takes input {name} as {dtype}, which cannot hold these numbers.",
            received=f"{array.min()} to {array.max()}",
            hint=f"Give numbers from {limits.min} to {limits.max}, or use another target or --route.",
        )
    return array.astype(dtype)


def widened(array: np.ndarray, dtype: str) -> np.ndarray:
    """An output of an artifact in its source's dtype, where only the width of integers differs."""
    return array.astype(dtype) if NARROWED.get(dtype) == str(array.dtype) else array
