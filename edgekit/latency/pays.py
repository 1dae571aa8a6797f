"""Does it pay? Whether a quantized artifact is faster than the one it was made from."""

from __future__ import annotations

from typing import Literal

from edgekit.figures import Pays
from edgekit.latency.causes import Facts, likely_cause
from edgekit.latency.measured import EMULATED, Measured
from edgekit.latency.statistics import Estimate, estimate_ratio
from edgekit.latency.turns import Turns

#: Peaks of memory under this many MiB say nothing: the allocators of the engines work in steps of that size.
SMALL_PEAK_MB = 4.0

#: Instructions that multiply bfloat16, as Linux spells them.
_BF16 = frozenset(("avx512_bf16", "amx_bf16"))

#: An interval of the speed-up that is wider than this to either side, and holds 1, shows that too little was measured.
WIDE = 0.05


def pays(
    parent: Measured,
    child: Measured,
    *,
    device: str,
    precision: str,
    facts: Facts | None = None,
    turns: Turns | None = None,
) -> Pays:
    """Compare an artifact with its parent.

    Args:
        parent: usually the fp32 artifact.
        child: made from it.
        device: name of the device, for the result.
        precision: of the child.
        facts: what the engine executes; without them the reason rests on the two measurements alone.
        turns: of the parent and the child; without them the speed-up is that of their common rounds.
    """
    size = parent.candidate.size_bytes / child.candidate.size_bytes if child.candidate.size_bytes else None
    unusable = _unusable(parent, child)
    ratio = None if unusable else speedup(parent, child) if turns is None else _inverse(turns.ratio)
    if ratio is None:
        reason = (
            unusable or "the time limit left no two rounds of both; edgekit bench --max-seconds 60 measures longer."
        )
        return Pays(device, "not shown", None, None, reason, size, accelerator=child.options.accelerator)
    answer: Literal["yes", "no", "not shown"] = "yes" if ratio.low > 1 else "no" if ratio.high < 1 else "not shown"
    return Pays(
        device,
        answer,
        ratio.value,
        ratio.ci95,
        _reason(answer, ratio, parent, child, precision, facts or Facts()),
        size,
        memory_ratio(parent, child),
        parent.openings[0].effective.precision.value,
        _by_default(parent),
        child.options.accelerator,
    )


def _reason(
    answer: str, ratio: Estimate, parent: Measured, child: Measured, precision: str, facts: Facts
) -> str | None:
    if answer == "yes":
        return None
    if answer == "not shown" and ratio.half_width > WIDE:
        return (
            f"the speed-up is known to ±{ratio.half_width:.0%} only, too little to tell; "
            "edgekit bench --max-seconds 60 measures longer."
        )
    return likely_cause(parent, child, precision, facts)


def _by_default(parent: Measured) -> str | None:
    """OpenVINO's CPU plugin computes a float32 model in bfloat16 wherever the CPU has such instructions."""
    unpinned = parent.candidate.runtime != "openvino" or parent.options.precision != "f32"
    if unpinned or parent.options.accelerator.upper() != "CPU":
        return None
    return "bf16" if _BF16 & set(parent.openings[0].environment.features) else None


def memory_ratio(parent: Measured, child: Measured) -> float | None:
    """Peak memory of the parent's process over the child's; None where either is too small to tell."""
    peaks = [side.peak_rss_mb for side in (parent, child)]
    above, below = peaks
    if above is None or below is None or min(above, below) < SMALL_PEAK_MB:
        return None
    return above / below


def _unusable(parent: Measured, child: Measured) -> str | None:
    for side, name in ((parent, "the artifact it was made from"), (child, "the artifact")):
        if side.error is not None or not side.openings:
            return f"{name} was not timed: {side.error.message if side.error else 'it has no openings.'}"
        if side.openings[0].environment.emulated:
            return EMULATED
    if parent.batch != child.batch and parent.scenario != "throughput":
        return f"the batch differs: {parent.batch} against {child.batch}."
    return None


def _inverse(ratio: Estimate | None) -> Estimate | None:
    return None if ratio is None else Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def speedup(parent: Measured, child: Measured) -> Estimate | None:
    """p50 of the parent over p50 of the child, per sample, over the rounds that both took part in."""
    common = sorted(set(parent.rounds) & set(child.rounds))
    if len(common) < 2:
        return None
    above, below = (
        [side.samples_ms[side.rounds.index(number)] / side.batch for number in common] for side in (parent, child)
    )
    return estimate_ratio(above, below, paired=True)
