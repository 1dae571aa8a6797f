"""Outputs at the edges of what a model may meet (`edgekit.exporter.edges`), which can only fail an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.checked import Parity
from edgekit.parity.criteria import judge
from edgekit.parity.metrics import spread
from edgekit.types import Evidence

Arrays = Mapping[str, NDArray[Any]]

#: How the reason of a run at the edges begins.
AT_EDGES = "on zeros, large or negative inputs: "

#: Precisions whose numbers end before those of float32 do: at the edges they may overflow.
_NARROW = ("fp16", "bf16")


def runs_at_edges(precision: str, tolerance: float | None) -> bool:
    """Whether anything can be said there: what a user allows on usual inputs is no bound for large ones."""
    return precision not in _NARROW and tolerance is None


def judge_edges(
    reference: Arrays, got: Arrays, precision: str, noise: Mapping[str, Mapping[str, float]], evidence: Evidence
) -> Parity | None:
    """Compare where the source gives finite numbers.

    An fp32 artifact computes the same function there. One of fewer bits saturates beyond the range of its calibration,
    but has to give numbers. Integers are left out, for where all elements of an input are equal, the largest of them
    is a toss; and so is an output that is the same at every edge, which gives no scale to judge by.

    Args:
        reference: the source's outputs, all of them finite.
        got: the artifact's.
        precision: of the artifact.
        noise: see `judge`.
        evidence: of the usual samples.

    Returns:
        None where nothing failed.
    """
    wanted = {name: array for name, array in reference.items() if array.dtype.kind == "f" and spread(array).varies}
    have = {name: array for name, array in got.items() if name in wanted}
    if not wanted:
        return None
    where = replace(evidence, inputs="generated", range_covered=None, reacts={})
    judged_by = "fp32" if precision == "fp32" else "int8-weights"
    judged = judge(wanted, have, precision=judged_by, noise=noise, evidence=where, doubts=False)
    reasons = judged.reasons if precision == "fp32" else tuple(_not_numbers(have))
    if judged.verdict != "failed" or not reasons:
        return None
    return replace(judged, reasons=tuple(f"{AT_EDGES}{reason}" for reason in reasons))


def _not_numbers(got: Arrays) -> list[str]:
    counts = {name: int(np.count_nonzero(~np.isfinite(array))) for name, array in got.items()}
    return [
        f"output {name}: {count} elements are NaN or infinite, and the source's are not."
        for name, count in counts.items()
        if count
    ]
