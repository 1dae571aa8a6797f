"""Parts (b) to (d) of the fidelity benchmark: repeats, comparisons, and the time to a result."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median, stdev

import edgekit
from benchmarks.fidelity_setup import Setup
from benchmarks.fidelity_slowed import PERCENTS, name
from benchmarks.measuring import table
from edgekit.figures import BenchRow
from edgekit.latency.measured import BenchSettings
from edgekit.latency.turns import OPENING_S, Turns, take_turns
from edgekit.latency.validity import NOT_CONVERGED
from edgekit.parity.intervals import clopper_pearson

#: Aims of part (b): spread of the repeats, share of intervals that hold their mean, share that may be weak.
SPREAD, COVERED, WEAK = 0.02, 0.9, 0.2

#: Aims of part (c): called slower, by how many percent slower it is; 0 is for equal ones, where it is the most.
CALLED = {0: 0.05, 5: 0.90, 10: 0.99}

#: Seconds of a trial, and to a converged result of a model of a millisecond.
SECONDS = 20.0

#: What is repeated in part (b).
REPEATED = (("micro", "onnx"), ("micro", "tflite"), ("milli", "onnx"), ("milli", "openvino"), ("milli", "tflite"))


def repeats(setup: Setup, trials: int) -> str:
    """The table of part (b): the same ``edgekit.bench`` again and again."""
    head = ("Model", "Engine", "mean p50 µs", "variation", "intervals that hold the mean", "weak", "seconds", "aims")
    rows = []
    for model, target in REPEATED:
        taken = [_bench(setup, model, target) for _ in range(trials)]
        p50 = [one.p50_us for one in taken]
        mean, spread = fmean(p50), stdev(p50) / fmean(p50)
        covered = sum(one.low_us <= mean <= one.high_us for one in taken)
        weak = sum(bool(one.weak) for one in taken)
        held = spread <= SPREAD and covered >= COVERED * trials
        aims = "void: weak" if weak > WEAK * trials else _held(held)
        counts = (f"{covered} of {trials}", str(weak), f"{fmean(one.seconds for one in taken):.1f}")
        figures = (f"{mean:.1f}", f"{spread:.1%}", *counts, aims)
        rows.append((model, taken[0].runtime, *figures))
        print(*rows[-1], [one.weak for one in taken if one.weak], flush=True, file=sys.stderr)
    note = (
        f"`edgekit.bench` of one artifact on one thread, {trials} times; variation: standard deviation over mean.\n\n"
    )
    return note + table(head, rows)


def comparisons(setup: Setup, trials: int) -> str:
    """The table of part (c): equal and slowed runtimes, both opened anew in every trial."""
    answers = ("called slower", "95 % interval", "called faster")
    head = ("Model", "slower by", *answers, "median ratio", "could show", "rounds", "seconds", "aim")
    rows = []
    for model in ("micro", "milli"):
        for percent in (0, *PERCENTS):
            found = [_trial(setup, model, percent) for _ in range(trials)]
            rows.append(_compared(model, percent, found))
            print(*rows[-1], flush=True, file=sys.stderr)
    note = f"""`edgekit compare` of ONNX Runtime with itself and with a runtime that waits after each inference;
{trials} trials each, at most {SECONDS:.0f} seconds a trial. Could show: the median of the least difference that a trial
would have shown in 80 of 100.

"""
    return note + table(head, rows)


def convergence(setup: Setup, trials: int) -> str:
    """The table of part (d): seconds of ``edgekit.bench`` until its interval is narrow enough."""
    head = ("Model", "Engine", "p50 µs", "converged", "median seconds", "most seconds", "aim")
    rows = []
    for target in ("onnx", "openvino", "tflite"):
        taken = [_bench(setup, "milli", target) for _ in range(trials)]
        done = sum(one.converged for one in taken)
        most = max(one.seconds for one in taken)
        held = _held(done == trials and most <= SECONDS)
        figures = (f"{median(one.p50_us for one in taken):.1f}", f"{done} of {trials}")
        rows.append(
            ("milli", taken[0].runtime, *figures, f"{median(one.seconds for one in taken):.1f}", f"{most:.1f}", held)
        )
        print(*rows[-1], flush=True, file=sys.stderr)
    return "The whole of `edgekit.bench`, the start of its processes included.\n\n" + table(head, rows)


@dataclass(frozen=True, slots=True)
class _Taken:
    """One measurement."""

    runtime: str
    p50_us: float
    low_us: float
    high_us: float
    weak: tuple[str, ...]
    converged: bool
    seconds: float


def _bench(setup: Setup, model: str, target: str) -> _Taken:
    started = time.perf_counter()
    (row,) = edgekit.bench(setup.kits[model].folder, target=target, threads=1).results
    return _taken(row, time.perf_counter() - started)


def _taken(row: BenchRow, seconds: float) -> _Taken:
    assert row.latency_ms is not None, row.reasons
    low, high = row.latency_ms.ci95_p50 or (math.nan, math.nan)
    weak = row.reasons if row.verdict == "weak" else ()
    converged = not any(reason.startswith(NOT_CONVERGED) for reason in row.reasons)
    return _Taken(row.runtime, row.latency_ms.p50 * 1e3, low * 1e3, high * 1e3, weak, converged, seconds)


def _trial(setup: Setup, model: str, percent: int) -> tuple[Turns, float]:
    """One comparison."""
    make = partial(setup.candidate, model, "onnx")
    base, new = make(), make(name(percent)) if percent else make()
    settings = BenchSettings(min_seconds=OPENING_S, max_seconds=SECONDS)
    started = time.perf_counter()
    turns = take_turns(base, new, setup.executor, setup.context, settings)
    for side in (turns.base, turns.new):
        if side.error is not None:
            raise side.error
    return turns, time.perf_counter() - started


def _compared(model: str, percent: int, found: Sequence[tuple[Turns, float]]) -> tuple[str, ...]:
    ratios = [turns.ratio for turns, _ in found if turns.ratio is not None]
    slower = sum(ratio.low > 1 for ratio in ratios)
    faster = sum(ratio.high < 1 for ratio in ratios)
    low, high = clopper_pearson(slower + (0 if percent else faster), len(found))
    wrong = (slower + faster) / len(found)
    held = slower / len(found) >= CALLED[percent] if percent else wrong <= CALLED[0]
    shown = median(turns.minimum_detectable or math.inf for turns, _ in found)
    aim = f"{'at least' if percent else 'both at most'} {CALLED[percent]:.0%}: {_held(held)}"
    return (
        model,
        f"{percent} %",
        f"{slower} of {len(found)}",
        f"{low:.0%} to {high:.0%}",
        f"{faster} of {len(found)}",
        f"{median(ratio.value for ratio in ratios):.3f}",
        f"{shown:.1%}",
        f"{median(turns.rounds for turns, _ in found):.0f}",
        f"{fmean(seconds for _, seconds in found):.1f}",
        aim,
    )


def _held(held: bool) -> str:
    return "held" if held else "**missed**"
