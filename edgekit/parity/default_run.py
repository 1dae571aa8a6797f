"""What an artifact computes where the engine chooses the precision, beside what was pinned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edgekit.checked import DefaultRun
from edgekit.parity.criteria import judge
from edgekit.types import Evidence


def default_run(
    reference: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]], chosen: str, evidence: Evidence
) -> DefaultRun:
    """Figures of a run in the engine's own precision.

    Args:
        reference: the source's outputs by name, ``(samples, ...)``.
        got: those of the engine.
        chosen: what it computed in, such as ``bf16+f32``.
        evidence: what was run.
    """
    parity = judge(reference, got, precision="bf16", noise={}, evidence=evidence)  # for its figures
    sqnr = min((one.sqnr_db for one in parity.outputs if one.sqnr_db is not None), default=None)
    agreement = min((one.top1_agreement for one in parity.outputs if one.top1_agreement is not None), default=None)
    figures = ["equal" if sqnr is None else f"{sqnr:.1f} dB"]
    if agreement is not None:
        figures.append(f"top-1 agreement {100 * agreement:.1f} %")
    summary = f"as the engine would run it by default ({chosen}): {', '.join(figures)}."
    return DefaultRun(chosen, sqnr, agreement, summary)
