"""What LiteRT executes, and the time of prefixes of its graph. Part of the device core.

The Python wheel has no profile of operators. What an operator takes is the time of the graph up to it less the time
of the graph up to the one before, each a file of its own (`edgekit.latency.bisection` makes them).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

import numpy as np

from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.base import Arrays, OpenOptions
from edgekit.runtimes.placement import CPU
from edgekit.runtimes.profile import Case, EngineOperator, Profiler, case_of, timed_runs
from edgekit.runtimes.tflite_delegates import XNNPACK, open_delegated
from edgekit.runtimes.tflite_engine import delegated, engine
from edgekit.runtimes.tflite_session import TfliteSession
from edgekit.types import Blob

#: One opening of one prefix: inferences before those that count, and the seconds and inferences of these.
_WARMUP_S, _WARMUP_RUNS, _TIMED_S, _TIMED_RUNS = 0.003, 2, 0.008, 10

_FORMATS = {"float32": "f32", "float16": "f16", "int8": "i8", "uint8": "i8", "int16": "i16"}

#: Operators that multiply by weights: with float inputs and 8-bit weights they quantize their input as they go.
_DYNAMIC = ("CONV_", "DEPTHWISE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "UNIDIRECTIONAL", "BIDIRECTIONAL")


@dataclass(frozen=True)
class PrefixTimes:
    """Times of prefixes, round by round.

    Attributes:
        rounds_us: one row for each round, in it the fastest inference of each file, opened anew.
        opening_s: seconds that one opening with its inferences took, on average.
    """

    rounds_us: tuple[tuple[float, ...], ...]
    opening_s: float


@dataclass(frozen=True)
class PrefixesJob(Job[PrefixTimes]):
    """Time files in turns, each opened anew in every round; every other round goes backwards.

    Attributes:
        files: ``.tflite`` files, one each.
        whole: the file that the prefixes are of, whose inputs they take.
        inputs: one ``.npy`` per input name.
        options: how to open them.
        batch: samples per inference.
        rounds: how many at least.
        seconds: after which no further round starts.
    """

    files: tuple[Blob, ...]
    whole: Blob
    inputs: dict[str, Blob]
    options: OpenOptions
    batch: int
    rounds: int
    seconds: float

    def run(self, work: Workspace) -> PrefixTimes:
        case = case_of(work, "tflite", (self.whole,), self.inputs, self.options, self.batch)
        paths = [work.path(file) for file in self.files]
        found: list[tuple[float, ...]] = []
        started = time.monotonic()
        while len(found) < self.rounds or time.monotonic() < started + self.seconds:
            work.progress(Progress(f"round {len(found) + 1} of the prefixes"))
            places = range(len(paths)) if len(found) % 2 == 0 else range(len(paths) - 1, -1, -1)
            times = {place: _opened_anew(paths[place], case.inputs, self.options) for place in places}
            found.append(tuple(times[place] for place in range(len(paths))))
        return PrefixTimes(tuple(found), (time.monotonic() - started) / (len(found) * len(paths)))


def _opened_anew(path: Path, inputs: Arrays, options: OpenOptions) -> float:
    """Microseconds of the fastest inference, without copies of inputs and outputs.

    Other processes only ever slow an inference, and differences of long times show that more than these do.
    """
    invoke = _invoke(path, inputs, options)
    warm = 0
    while warm < _WARMUP_RUNS:
        warm += len(timed_runs(invoke, _WARMUP_S))
    samples: list[int] = []
    while len(samples) < _TIMED_RUNS:
        samples += timed_runs(invoke, _TIMED_S)
    return min(samples) / 1e3


def _invoke(path: Path, inputs: Arrays, options: OpenOptions) -> Callable[[], object]:
    """One inference of a file on inputs that lie in the engine already."""
    interpreter = _opened(path, options)[0]
    session = TfliteSession(interpreter, path)
    session.prepare({spec.name: inputs[spec.name] for spec in session.signature.inputs})()
    invoke: Callable[[], object] = interpreter.invoke
    return invoke


def _opened(path: Path, options: OpenOptions) -> tuple[Any, str]:
    """An interpreter with its delegate, which is XNNPACK on the CPU, and the delegate's name."""
    accelerator = XNNPACK if options.accelerator.upper() == CPU else options.accelerator
    return open_delegated(engine(), path, replace(options, accelerator=accelerator))


def profiler(case: Case) -> Profiler:
    """From the operators that stand in the file, and the delegates that the engine put in place of some of them."""
    return Profiler(lambda: list(_operators(case)))


def _operators(case: Case) -> Iterator[EngineOperator]:
    interpreter, taker = _opened(case.path, case.options)
    nodes = interpreter._get_ops_details()
    types = {int(item["index"]): np.dtype(item["dtype"]).name for item in interpreter.get_tensor_details()}
    names = {int(item["index"]): str(item["name"]) for item in interpreter.get_tensor_details()}
    taken = delegated(nodes)
    given = {int(item["index"]) for item in interpreter.get_input_details()}
    changing = given | {int(index) for node in nodes for index in node["outputs"]}
    for node in nodes:
        kind, sources = node["op_name"], [int(index) for index in node["inputs"] if int(index) >= 0]
        if kind == "DELEGATE" or not set(sources) & changing:  # what reads constants alone runs once, at the start
            continue
        formats = [_FORMATS.get(types.get(index, ""), "") for index in sources]
        dynamic = kind.startswith(_DYNAMIC) and formats[:2] == ["f32", "i8"] and sources[1] not in changing
        unit = taker if int(node["index"]) in taken else "built-in"
        name = names.get(int(node["outputs"][0]), "") if len(node["outputs"]) else ""
        yield EngineOperator(name, kind, (name,), "i8" if dynamic else next(iter(formats), ""), unit, None)
