"""Why a quantized artifact is not faster, as the measurement and the engine's own operators show it, surest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from edgekit.latency.measured import Measured
from edgekit.runtimes.environment import Environment
from edgekit.runtimes.execution import CONVERSION, LAYOUT, OTHER, PRODUCT, Execution, OperatorGroup

#: Under this p50 the fixed cost of a call decides: Python and the copies take 4 to 18 µs, and thread wake-ups more.
OVERHEAD_MS = 0.1

#: A part of the time that is reason enough to name.
LARGE_SHARE = 0.25

#: Operators that 8 bits leave as they are: from this share on, halving all else saves a quarter at most.
UNTOUCHED_SHARE = 0.5

#: Share of the multiply-accumulates in few bits under which the float ones are named.
FEW_LOW_BIT = 0.8

#: Cost of a page that the engine gives back and asks for again; EfficientNetB0 in OpenVINO took 2.6 µs for each.
FAULT_MS = 1e-3

#: Instructions that multiply 8-bit integers four at a time, by architecture.
_INT8_INSTRUCTIONS = {
    "x86_64": ("VNNI", ("avx_vnni", "avx512_vnni", "amx_int8")),
    "AMD64": ("VNNI", ("avx_vnni", "avx512_vnni", "amx_int8")),
    "aarch64": ("dot product", ("asimddp", "i8mm")),
}

INT8 = ("int8", "int8-dynamic")
WEIGHTS = ("int8-weights", "int4-weights")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the two measurements.

    Attributes:
        parent, child: operators that the engine executes; None where it was not asked.
        low_bit_macs: share of the child's multiply-accumulates in few bits; None where it is not known.
    """

    parent: Execution | None = None
    child: Execution | None = None
    low_bit_macs: float | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    parent: Measured
    child: Measured
    precision: str
    facts: Facts

    @property
    def operators(self) -> Execution:
        return self.facts.child or Execution((), False)

    @property
    def machine(self) -> Environment:
        return self.child.openings[0].environment


def likely_cause(parent: Measured, child: Measured, precision: str, facts: Facts) -> str:
    """The first explanation that the facts support, as one sentence.

    Args:
        parent: what the artifact was made from, timed.
        child: the artifact, timed.
        precision: of the child.
        facts: what the engine executes.
    """
    case = _Case(parent, child, precision, facts)
    return next((found for cause in _CAUSES if (found := cause(case))), _UNEXPLAINED)


_UNEXPLAINED = "nothing that was measured explains it; edgekit bench --profile shows where the time of each goes."


def _another_precision(case: _Case) -> str | None:
    """The engine ran none of it in integers."""
    if case.precision not in INT8:
        return None
    products = case.operators.of(PRODUCT)
    if products and not any("8" in group.format for group in products):
        formats = " and ".join(dict.fromkeys(group.format for group in products))
        pairs = _total(case.operators.of(CONVERSION))
        around = f", with {pairs} unfused quantize and dequantize operators around them" if pairs else ""
        return (
            f"the engine computed all {_total(products)} convolutions and products in {formats}, "
            f"not in 8-bit integers{around}."
        )
    ran = case.child.openings[0].effective.precision
    if ran.how == "engine" and "8" not in (ran.value or ""):
        return f"the engine computed in {ran.value}, not in 8-bit integers."
    return None


def _half_parent(case: _Case) -> str | None:
    base = case.parent.openings[0].effective.precision
    if base.how == "engine" and "f16" in (base.value or ""):
        return f"the artifact it was made from already ran in {base.value}."
    return None


def _instructions(case: _Case) -> str | None:
    """Read from the CPU's features; None where nothing is known."""
    machine = case.machine
    named = _INT8_INSTRUCTIONS.get(machine.architecture)
    known = named is not None and machine.features and not set(named[1]) & set(machine.features)
    if case.precision not in INT8 or named is None or not known:
        return None
    return f"this CPU has no {named[0]} instructions, without which 8-bit arithmetic gains little."


def _conversions(case: _Case) -> str | None:
    """Operators between floats and integers that the engine did not fuse away."""
    groups = case.operators.of(CONVERSION)
    share = _share(groups)
    if share is None or share < LARGE_SHARE:
        return None
    names = _counts(groups)
    if case.precision in WEIGHTS:
        return f"the engine expands the weights at each inference: {names} took {share:.0%} of the profiled time."
    return f"the engine did not fuse {names}, which took {share:.0%} of the profiled time."


def _overhead(case: _Case) -> str | None:
    slow, fast = (max(side.opening_p50_ms) for side in (case.parent, case.child))
    if max(slow, fast) >= OVERHEAD_MS:
        return None
    return f"an inference takes {fast:.2g} ms, so the fixed cost of a call hides what the arithmetic gains (inferred)."


def _built_in_kernels(case: _Case) -> str | None:
    """LiteRT: operators that XNNPACK takes in floating point and not in this form."""
    if case.facts.parent is None:
        return None
    added = _by_kind(_built_in(case.operators)) - _by_kind(_built_in(case.facts.parent))
    if not added:
        return None
    names = ", ".join(f"{count} {kind}" for kind, count in added.most_common(3))
    return (
        f"XNNPACK leaves {names} to the engine's built-in kernels, which are slower; in the artifact it was made from "
        "it did not (inferred from the list of operators: LiteRT has no profile)."
    )


def _float_products(case: _Case) -> str | None:
    if case.precision not in INT8:
        return None
    products = case.operators.of(PRODUCT)
    floating = [group for group in products if "8" not in group.format]
    share, macs = _share(floating), case.facts.low_bit_macs
    few = macs is not None and macs < FEW_LOW_BIT
    if not floating and few:
        return f"only {macs:.0%} of the multiply-accumulates are in 8 bits."
    most = share is None and 2 * _total(floating) >= _total(products) > 0
    if not floating or not (few or most or (share is not None and share >= LARGE_SHARE)):
        return None
    formats = " and ".join(dict.fromkeys(group.format for group in floating))
    time = "" if share is None else f", which took {share:.0%} of the profiled time"
    rest = "" if macs is None else f"; {macs:.0%} of the multiply-accumulates are in 8 bits"
    return f"{_total(floating)} of {_total(products)} convolutions and products are computed in {formats}{time}{rest}."


def _page_faults(case: _Case) -> str | None:
    faults = fmean(opening.page_faults_per_inference for opening in case.child.openings)
    if faults * FAULT_MS < LARGE_SHARE * max(case.child.opening_p50_ms):
        return None
    return f"the engine asks the system for memory at each inference: {faults:,.0f} page faults."


def _untouched(case: _Case) -> str | None:
    """Operators whose speed memory or another format decides."""
    groups = [*case.operators.of(LAYOUT), *case.operators.of(OTHER)]
    share = _share(groups)
    if share is None or share < UNTOUCHED_SHARE:
        return None
    times: Counter[str] = Counter()
    for group in groups:
        times[group.kind] += round(1000 * (group.share or 0))
    names = ", ".join(f"{kind} {time / 10:.0f} %" for kind, time in times.most_common(3))
    return f"{share:.0%} of the profiled time goes into operators that fewer bits do not speed up: {names}."


def _format(case: _Case) -> str | None:
    """What follows from the precision alone."""
    if case.precision in WEIGHTS:
        return "only the weights are small: they are expanded before the arithmetic, which stays in floating point."
    if case.precision == "fp16" and case.child.openings[0].effective.precision.value == "f32":
        return "the engine computed in f32: halves save space here, not time."
    products = case.operators.of(PRODUCT)
    if case.precision == "fp16" and products and all(group.format == "f32" for group in products):
        return "the engine computed every convolution and product in f32: halves save space here, not time."
    return None


_CAUSES: tuple[Callable[[_Case], str | None], ...] = (
    _another_precision,
    _half_parent,
    _instructions,
    _conversions,
    _overhead,
    _built_in_kernels,
    _float_products,
    _page_faults,
    _format,
    _untouched,
)


def _total(groups: Sequence[OperatorGroup]) -> int:
    return sum(group.count for group in groups)


def _share(groups: Sequence[OperatorGroup]) -> float | None:
    """Their part of the profiled time; None without operators or without a profile."""
    known = [group.share for group in groups if group.share is not None]
    return sum(known) if known and len(known) == len(groups) else None


def _counts(groups: Sequence[OperatorGroup]) -> str:
    return " and ".join(f"{count} {kind}" for kind, count in _by_kind(groups).most_common(3))


def _by_kind(groups: Sequence[OperatorGroup]) -> Counter[str]:
    found: Counter[str] = Counter()
    for group in groups:
        found[group.kind] += group.count
    return found


def _built_in(execution: Execution) -> list[OperatorGroup]:
    return [group for group in execution.operators if group.unit == "built-in"]
