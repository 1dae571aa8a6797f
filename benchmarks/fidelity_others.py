"""Part (a) of the fidelity benchmark: edgekit beside benchmark_app and beside the leanest loops."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median

from benchmarks.fidelity_setup import HERE, MODELS, Setup
from benchmarks.measuring import table
from edgekit.latency.looks import estimate_rounds
from edgekit.latency.measured import BenchSettings

#: Largest difference of the medians above `LARGE_US`, and of the loop's own overhead on the smallest model.
AGREE, LARGE_US, OVERHEAD_US = 0.02, 500.0, 1.0

ALPHA = 0.05

#: Timed seconds of each process of both.
SECONDS = 0.5

HEAD = ("Engine", "Model", "beside", "edgekit p50 µs", "the other µs", "ratio", "95 % interval", "quickest", "aim")

_MEDIAN = re.compile(r"Median:\s+([0-9.]+) (us|ms)")

_NOTE = """\
Each round has a fresh process of both, in turns; medians over rounds, the interval by `edgekit.latency.looks` over
the rounds' ratios. `benchmark_app -hint none -api sync -nstreams 1 -nthreads 1 -infer_precision f32` fills its inputs
once, so edgekit binds them once too (`--zero-copy`); the leanest loops copy what edgekit copies. *Quickest*: the
ratio of the means of the quickest quarter of each side's rounds, since a neighbour on the core only ever slows a
round down. *Loop*: the median of single inferences less that of a hundred at once, in µs: what the timing itself adds
to a figure, for the smallest model.

"""


def beside_others(setup: Setup, rounds: int) -> str:
    """The table of part (a)."""
    rows = [_row(setup, "openvino", model, "benchmark_app", _benchmark_app, rounds) for model in MODELS]
    for target, engine in (("onnx", "onnxruntime"), ("tflite", "tflite")):
        for model in MODELS:
            rows.append(_row(setup, target, model, "leanest loop", _lean(engine, "clocked"), rounds))
        rows.append(_row(setup, target, "micro", "hundreds at once", _lean(engine, "blocks"), rounds))
    return _NOTE + table(HEAD, rows)


def _row(
    setup: Setup, target: str, model: str, beside: str, other: Callable[[Setup, str], float], rounds: int
) -> tuple[str, ...]:
    settings = BenchSettings(copy=beside != "benchmark_app", min_seconds=SECONDS)
    candidate = setup.candidate(model, target)
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        for mine in (True, False) if number % 2 == 0 else (False, True):
            if mine:
                ours.append(setup.opening_us(candidate, settings))
            else:
                theirs.append(other(setup, model))
    ratio = estimate_rounds([mine / its for mine, its in zip(ours, theirs, strict=True)], ALPHA)
    if beside == "hundreds at once":
        more = median(mine - its for mine, its in zip(ours, theirs, strict=True))
        aim = f"loop {more:.2f} µs, under {OVERHEAD_US:.0f}: {_held(more < OVERHEAD_US)}"
    elif median(theirs) > LARGE_US:
        aim = f"within {AGREE:.0%}: {_held(abs(ratio.value - 1) <= AGREE)}"
    else:
        aim = ""
    quickest = f"{_quickest(ours) / _quickest(theirs):.3f}"
    figures = (
        f"{median(ours):.1f}",
        f"{median(theirs):.1f}",
        f"{ratio.value:.3f}",
        _interval(ratio.ci95),
        quickest,
        aim,
    )
    print(target, model, beside, *figures, flush=True, file=sys.stderr)
    return (candidate.runtime, model, beside, *figures)


def _benchmark_app(setup: Setup, model: str) -> float:
    """Its own median, microseconds."""
    script = Path(sys.executable).with_name("benchmark_app")
    settings = shlex.split("-d CPU -hint none -api sync -nstreams 1 -nthreads 1 -infer_precision f32 -t 1")
    home = setup.folder / "home"
    telemetry = home / "intel" / "openvino_telemetry"
    telemetry.parent.mkdir(parents=True, exist_ok=True)
    telemetry.write_text("0")  # declined
    done = subprocess.run(
        [script, "-m", setup.file(model, "openvino"), *settings],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(home)},
    )
    found = _MEDIAN.search(done.stdout)
    assert found is not None, done.stdout[-2000:]
    return float(found[1]) * (1e3 if found[2] == "ms" else 1.0)


def _lean(engine: str, what: str) -> Callable[[Setup, str], float]:
    def take(setup: Setup, model: str) -> float:
        target = "onnx" if engine == "onnxruntime" else engine
        command: list[str | Path] = [
            sys.executable,
            HERE / "fidelity_lean.py",
            engine,
            setup.file(model, target),
            setup.sample(model),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(json.loads(done.stdout)[what])

    return take


def _quickest(taken: Sequence[float]) -> float:
    return fmean(sorted(taken)[: max(1, len(taken) // 4)])


def _held(held: bool) -> str:
    return "held" if held else "**missed**"


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"
