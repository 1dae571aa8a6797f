"""The profile of OpenVINO (``PERF_COUNT``). Part of the device core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgekit.runtimes.openvino_ import OpenVinoSession, engine_properties
from edgekit.runtimes.openvino_devices import device_named
from edgekit.runtimes.profile import Case, EngineOperator, Profiler

#: Nodes of a runtime model that stand for its ends and its weights.
_ENDS = frozenset(("Const", "Constant", "Input", "Output", "Parameter", "Result"))


def profiler(case: Case) -> Profiler:
    """From the means that the engine keeps over all inferences of a model, in whole microseconds.

    What the warm-up took is taken off, since the first inference still compiles. What took less than a microsecond has
    the time 0.
    """
    import openvino

    device = device_named(case.options.accelerator, openvino.Core())
    compiled, request = _opened(case, device, profiled=True)
    before: dict[str, float] = {}
    count = {"warm-up": 0, "runs": 0}

    def begin(runs: int) -> None:
        count["warm-up"] = runs
        before.update(_totals(request, runs))

    def infer() -> None:
        request.infer()
        count["runs"] += 1

    def operators() -> list[EngineOperator]:
        runs = count["runs"] - count["warm-up"]
        totals = _totals(request, count["runs"])
        times = {name: float(round(max(0.0, total - before.get(name, 0.0)) / runs)) for name, total in totals.items()}
        return list(_operators(compiled, request, times, device))

    return Profiler(operators, lambda: _opened(case, device, profiled=False)[1].infer, infer, begin)


def _opened(case: Case, device: str, *, profiled: bool) -> tuple[Any, Any]:
    import openvino

    properties = {**engine_properties(device, case.options), "PERF_COUNT": profiled}
    compiled = openvino.Core().compile_model(case.path, device, properties)
    request = compiled.create_infer_request()
    for index, spec in enumerate(OpenVinoSession(compiled, case.path).signature.inputs):
        request.set_input_tensor(index, openvino.Tensor(np.ascontiguousarray(case.inputs[spec.name])))
    return compiled, request


def _totals(request: Any, runs: int) -> dict[str, float]:
    """Microseconds of all inferences so far, by operator."""
    return {item.node_name: runs * item.real_time.total_seconds() * 1e6 for item in request.get_profiling_info()}


def _operators(compiled: Any, request: Any, times: dict[str, float], device: str) -> Iterator[EngineOperator]:
    """Operators of the graph that is executed: what was fused into another is in the profile, and not in that."""
    facts = {node.get_friendly_name(): node.rt_info for node in compiled.get_runtime_model().get_ordered_ops()}
    for item in request.get_profiling_info():
        known = facts.get(item.node_name)
        if known is None or _fact(known, "layerType") in _ENDS:
            continue
        parts = tuple(filter(None, _fact(known, "originalLayersNames").split(",")))
        # ``exec_type`` ends in the format, such as ``brgemm_avx512_I8``.
        found = item.exec_type.rpartition("_")[2].lower()
        yield EngineOperator(item.node_name, item.node_type, parts, found, device, times[item.node_name])


def _fact(info: Any, name: str) -> str:
    return str(info[name].value) if name in info else ""
