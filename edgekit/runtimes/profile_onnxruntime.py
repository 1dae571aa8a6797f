"""The profile of ONNX Runtime (``enable_profiling``). Part of the device core."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.runtimes.onnx_providers import label, provider_named, provider_settings
from edgekit.runtimes.profile import WARMUP_RUNS, Case, EngineOperator, Profiler

#: Inferences that are profiled at most: the engine writes some hundred bytes for each operator of each.
MOST_RUNS = 200

#: Products of these names take integers; all others compute in the type of their first input.
_INTEGER_PRODUCTS = ("QLinear", "QGemm", "QAttention", "DynamicQuantize", "ConvInteger", "MatMulInteger")

_FORMATS = {"float": "f32", "float16": "f16", "bfloat16": "bf16", "double": "f64", "int8": "i8", "uint8": "i8"}

_SUFFIX = "_kernel_time"


def profiler(case: Case) -> Profiler:
    """From one event for each operator that ran, after all fusions; the median over inferences hides preemptions."""
    engine = _opened(case, profiled=True)
    feed = dict(case.inputs)

    def operators() -> list[EngineOperator]:
        return list(_operators(json.loads(Path(engine.end_profiling()).read_text())))

    def plain() -> Any:
        other = _opened(case, profiled=False)
        return lambda: other.run(None, feed)

    return Profiler(operators, plain, lambda: engine.run(None, feed), most_runs=MOST_RUNS)


def _opened(case: Case, *, profiled: bool) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors only
    settings.enable_profiling = profiled
    settings.profile_file_prefix = str(case.folder / "profile")
    if case.options.threads is not None:
        settings.intra_op_num_threads = case.options.threads
        settings.inter_op_num_threads = 1
    provider = provider_named(case.options.accelerator, onnxruntime.get_available_providers())
    given = [provider_settings(provider, case.options)]
    return onnxruntime.InferenceSession(str(case.path), settings, providers=[provider], provider_options=given)


def _operators(events: list[Mapping[str, Any]]) -> Iterator[EngineOperator]:
    runs: list[list[Mapping[str, Any]]] = [[]]
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            runs[-1].append(event)
        elif event["name"] == "SequentialExecutor::Execute":
            runs.append([])
    times: dict[str, list[float]] = {}
    for run in runs[WARMUP_RUNS:]:
        for event in run:
            times.setdefault(event["name"], []).append(event["dur"])
    for event in next(run for run in reversed(runs) if run):
        facts, name = event["args"], event["name"][: -len(_SUFFIX)]
        first = next((kind for entry in facts.get("input_type_shape", [])[:1] for kind in entry), "")
        found = "i8" if facts["op_name"].startswith(_INTEGER_PRODUCTS) else _FORMATS.get(first, first)
        unit = label(facts.get("provider", ""))
        yield EngineOperator(name, facts["op_name"], (name,), found, unit, statistics.median(times[event["name"]]))
