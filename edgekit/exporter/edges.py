"""Inputs at the edges of what a model may meet: faults hide where usual inputs never go.

A clipped activation that is not clipped, zeros in place of the least number around a pooling window, or a division by
zero change nothing on usual inputs. A correct artifact computes the same function everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.runtimes.base import Arrays
from edgekit.types import Signature

#: How far beyond usual inputs: past the clip of a ReLU6 behind a normalised layer.
FACTOR = 8

#: Samples that each edge but the constant ones is made of.
_EACH = 2


def edges(signature: Signature, inputs: Mapping[str, np.ndarray], ids: Mapping[str, int]) -> Arrays:
    """Samples at the edges: all zeros, one number throughout, all negative, all positive and large, and large.

    Args:
        signature: of the source.
        inputs: usual ones, samples first.
        ids: inputs that hold indices, which stay what they are, as integers do.

    Returns:
        One array per input, none where no input is a number.
    """
    numbers = {spec.name for spec in signature.inputs if np.dtype(spec.dtype).kind == "f"} - set(ids)
    return {name: _edges(array, moves=name in numbers) for name, array in inputs.items()} if numbers else {}


def numbers_in(outputs: Arrays) -> np.ndarray:
    """Which samples are finite in every output, ``(samples,)``."""
    finite = [np.isfinite(array).all(axis=tuple(range(1, array.ndim))) for array in outputs.values()]
    return np.asarray(np.all(finite, axis=0))


def _edges(array: np.ndarray, *, moves: bool) -> np.ndarray:
    usual = np.asarray(array[:_EACH])
    usual = usual[np.arange(_EACH) % len(usual)]
    if not moves:
        return np.concatenate([usual[:1], usual[:1], usual, usual, usual])
    size = np.abs(usual)
    largest = np.full_like(usual[:1], size.max(initial=0.0, where=np.isfinite(size)))
    return np.concatenate([np.zeros_like(usual[:1]), largest, -size, FACTOR * size, FACTOR * usual])
