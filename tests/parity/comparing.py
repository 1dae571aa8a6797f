"""Outputs of a source and of an artifact, and the judgement of the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.checked import Parity
from edgekit.parity.criteria import judge
from edgekit.types import Evidence

Array = NDArray[Any]


REAL = Evidence("real", 400, ("x=1x4",))


GENERATED = replace(REAL, inputs="generated")


def scores(samples: int = 400, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(samples, 10)).astype(np.float32)


def with_noise(array: Array, decibel: float, seed: int = 1) -> Array:
    """The array with white noise at an SQNR."""
    noise = np.random.default_rng(seed).normal(size=array.shape)
    noise *= np.sqrt((array.astype(np.float64) ** 2).sum() / 10 ** (decibel / 10) / (noise**2).sum())
    return (array + noise).astype(array.dtype)


def check(
    reference: Mapping[str, Array] | Array,
    got: Mapping[str, Array] | Array,
    precision: str = "fp32",
    *,
    floor: float = 1e-6,
    evidence: Evidence = REAL,
    tolerance: float | None = None,
    reacts: Mapping[str, bool] | None = None,
    task: str | None = None,
) -> Parity:
    want = reference if isinstance(reference, Mapping) else {"probs": reference}
    have = got if isinstance(got, Mapping) else {"probs": got}
    return judge(
        want,
        have,
        precision=precision,
        noise={name: {"one-ulp": floor} for name in want},
        evidence=replace(evidence, reacts=dict(reacts or {"x": True})),
        tolerance=tolerance,
        task=task,
    )
