"""How fast the files of the quantization benchmark are, timed in turns, and what a fixed recipe costs."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.coverage_cells import HERE, Record, last_words, process
from benchmarks.quantization_cells import TIMEOUT_S, Model
from benchmarks.quantization_judge import size_bytes
from edgekit.errors import EdgekitError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.latency.measure import BenchSettings, Candidate, Measured, measure
from edgekit.latency.pays import speedup
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.registry import runtime_for

#: How each artifact is timed: six openings of it, in turns with the others.
SETTINGS = BenchSettings(openings=6, half_width=0.05, max_seconds=6.0, min_seconds=0.1)
LARGE = BenchSettings(openings=4, half_width=0.05, max_seconds=30.0, min_seconds=0.5)

#: The two ways of the fixed recipe, in turns.
WAYS = ("edgekit", "raw")


def timed(model: Model, target: str, files: dict[str, Path], settings: BenchSettings = SETTINGS) -> Record:
    """Time files of one model and target in turns, one thread, batch 1.

    Args:
        model: whose samples they run.
        target: of all.
        files: by name; ``fp32`` is what the others are compared with. It computes in float32, and once more, as
            ``default``, in what the engine chooses; so do the others.
        settings: how to measure.

    Returns:
        ``{"times": {name: {"p50_ms", "size_bytes", "speedup", "low", "high"}}}``; the speed-up is that over ``fp32``.
    """
    precisions = {name: None if name != "fp32" else "f32" for name in files}
    if target == "openvino":
        files, precisions = files | {"default": files["fp32"]}, precisions | {"default": None}
    with Executor() as executor:
        array = executor.scratch() / "x.npy"
        np.save(array, np.load(model.folder / "data.npz")["x"][:32])
        inputs = executor.add(array)
        candidates = []
        for name, path in files.items():
            parts = [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
            blobs = tuple(executor.add(part) for part in parts)
            options = OpenOptions(threads=1, precision=precisions[name])
            runtime = runtime_for(target).name
            candidates.append(Candidate(name, runtime, blobs, {"x": inputs}, options, size_bytes(path), 1))
        measured = measure(candidates, executor, conversion_context(None), settings)
    found = dict(zip(files, measured, strict=True))
    key = f"{model.name}|{model.seed}|{target}|speed"
    times = {name: _figures(found["fp32"], one) for name, one in found.items()}
    return {"key": key, "kind": "speed", "model": model.name, "target": target, "times": times}


def _figures(base: Measured, one: Measured) -> dict[str, Any]:
    if one.error is not None or one.p50 is None:
        return {"fault": one.error.message if isinstance(one.error, EdgekitError) else "no two openings"}
    ratio = speedup(base, one)
    figures: dict[str, Any] = {"p50_ms": one.p50.value, "size_bytes": one.candidate.size_bytes}
    if ratio is not None:
        figures |= {"speedup": ratio.value, "low": ratio.low, "high": ratio.high}
    return figures


def cost(model: Model, target: str, rounds: int) -> Record:
    """A fixed recipe by edgekit and by the raw library, in turns, each time in a fresh process."""
    path = model.fp32(target)
    key = f"{model.name}|{model.seed}|{target}|cost"
    record: Record = {"key": key, "kind": "cost", "model": model.name, "target": target, "rounds": rounds}
    told: dict[str, list[Record]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            folder = model.folder / "fixed" / f"{target}-{way}"
            options = [way, target, path or "", model.folder / "data.npz", folder]
            done = process([HERE / "quantization_cost.py", *options], "", TIMEOUT_S)
            if done.status != 0:
                return record | {"fault": f"{way}: {last_words(done)}"}
            told[way].append(json.loads(done.stdout.splitlines()[-1]))
    for way in WAYS:
        record[f"{way}_s"] = median(one["seconds"] for one in told[way])
        record[f"{way}_bytes"] = median(one["peak_rss_bytes"] for one in told[way])
        record[f"{way}_path"] = told[way][-1]["path"]
    return record
