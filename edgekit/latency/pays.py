"""Does it pay? Whether a quantized artifact is faster than the one it was made from."""

from __future__ import annotations

from typing import Literal

from edgekit.latency.measured import Measured
from edgekit.latency.statistics import Estimate, estimate_ratio
from edgekit.results import Pays
from edgekit.runtimes.environment import Environment

#: Under this p50 the fixed cost of a call decides: Python and the copies take 4 to 18 µs, and thread wake-ups more.
OVERHEAD_MS = 0.1

#: Instructions that multiply 8-bit integers four at a time, by architecture.
_INT8_INSTRUCTIONS = {
    "x86_64": ("VNNI", ("avx_vnni", "avx512_vnni", "amx_int8")),
    "AMD64": ("VNNI", ("avx_vnni", "avx512_vnni", "amx_int8")),
    "aarch64": ("dot product", ("asimddp", "i8mm")),
}


def pays(parent: Measured, child: Measured, *, device: str, precision: str) -> Pays:
    """Compare an artifact with its parent, timed in turns.

    Args:
        parent: usually the fp32 artifact.
        child: made from it.
        device: name of the device, for the result.
        precision: of the child.
    """
    unusable = _unusable(parent, child)
    if unusable:
        return Pays(device, "not shown", None, None, unusable)
    ratio = speedup(parent, child)
    if ratio is None:
        return Pays(device, "not shown", None, None, "the two were not timed in two common rounds or more.")
    answer: Literal["yes", "no", "not shown"] = "yes" if ratio.low > 1 else "no" if ratio.high < 1 else "not shown"
    reason = None if answer == "yes" else likely_reason(parent, child, precision)
    return Pays(device, answer, ratio.value, ratio.ci95, reason)


def likely_reason(parent: Measured, child: Measured, precision: str) -> str:
    """Why an artifact is not faster, as far as the measurement itself shows."""
    environment = child.openings[0].environment
    slow, fast = (max(side.opening_p50_ms) for side in (parent, child))
    ran = child.openings[0].effective.precision
    base = parent.openings[0].effective.precision
    if max(slow, fast) < OVERHEAD_MS:
        return f"an inference takes {fast:.2g} ms, so the fixed cost of a call hides what the arithmetic gains."
    if precision in ("int8", "int8-dynamic") and ran.how == "engine" and "8" not in (ran.value or ""):
        return f"the engine computed in {ran.value}, not in 8-bit integers."
    if base.how == "engine" and "f16" in (base.value or ""):
        return f"the artifact it was made from already ran in {base.value}."
    if precision in ("int8", "int8-dynamic") and (lacking := _lacking(environment)):
        return f"this CPU has no {lacking} instructions, without which 8-bit arithmetic gains little."
    if precision in ("int8-weights", "int4-weights"):
        return "only the weights are small: they are expanded before the arithmetic, which stays in floating point."
    if precision == "fp16" and ran.value == "f32":
        return "the engine computed in f32: halves save space here, not time."
    return "nothing that was measured explains it; a profile of the operators would."


def _unusable(parent: Measured, child: Measured) -> str | None:
    for side, name in ((parent, "the artifact it was made from"), (child, "the artifact")):
        if side.error is not None or not side.openings:
            return f"{name} was not timed: {side.error.message if side.error else 'it has no openings.'}"
        if side.openings[0].environment.emulated:
            return "the CPU is emulated, so these times are not representative of a device."
    if parent.batch != child.batch and parent.scenario != "throughput":
        return f"the batch differs: {parent.batch} against {child.batch}."
    return None


def speedup(parent: Measured, child: Measured) -> Estimate | None:
    """p50 of the parent over p50 of the child, per sample, over the rounds that both took part in."""
    common = sorted(set(parent.rounds) & set(child.rounds))
    if len(common) < 2:
        return None
    above, below = (
        [side.samples_ms[side.rounds.index(number)] / side.batch for number in common] for side in (parent, child)
    )
    return estimate_ratio(above, below, paired=True)


def _lacking(environment: Environment) -> str | None:
    """The instructions for 8-bit arithmetic that this CPU should have and has not; None where nothing is known."""
    named = _INT8_INSTRUCTIONS.get(environment.architecture)
    if named is None or not environment.features or set(named[1]) & set(environment.features):
        return None
    return named[0]
