"""One small network that every runtime can be given in its own format, and what it computes.

Two inputs and two outputs, neither in alphabetical order, one input of integers::

    embed = tanh(sum(TABLE[token], axis=1))        score = embed @ EMBED + wide @ WIDE

The numpy reference shares no code with any engine.
"""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]

_RANDOM = np.random.default_rng(7)

#: Weights, float32: ``(11, 5)``, ``(5, 2)`` and ``(4, 2)``.
TABLE = _RANDOM.normal(size=(11, 5)).astype(np.float32)
EMBED = _RANDOM.normal(size=(5, 2)).astype(np.float32)
WIDE = _RANDOM.normal(size=(4, 2)).astype(np.float32)

#: In the order of the signature.
INPUTS = ("wide", "token")
OUTPUTS = ("score", "embed")


def twin_inputs(samples: int, seed: int = 1) -> Arrays:
    """``wide`` (samples, 4) float32 and ``token`` (samples, 2) int32."""
    random = np.random.default_rng(seed)
    token = random.integers(0, len(TABLE), size=(samples, 2), dtype=np.int32)
    return {"wide": random.normal(size=(samples, 4)).astype(np.float32), "token": token}


def twin_outputs(inputs: Arrays) -> Arrays:
    """``score`` (samples, 2) and ``embed`` (samples, 5) in float64."""
    embed = np.tanh(TABLE.astype(np.float64)[inputs["token"]].sum(axis=1))
    return {"score": embed @ EMBED + inputs["wide"] @ WIDE, "embed": embed}
