"""What an engine executes for an artifact, operator by operator, with its own clock. Part of the device core.

An engine that profiles (OpenVINO, ONNX Runtime) is asked for the time of each operator, in turns with the same
artifact as it runs otherwise: profiling costs time, so what a profile adds up to is no latency. LiteRT has no profile
in Python: there it is the list of operators, and prefixes of the graph are timed instead (`PrefixesJob`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Callable, Optional, cast

import numpy as np

from edgekit.errors import EdgekitError, ModelError, UsageError
from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes.base import Arrays, OpenOptions, check_open, engine_words
from edgekit.runtimes.jobs import load_arrays
from edgekit.runtimes.registry import installed_runtime
from edgekit.runtimes.widths import narrowed
from edgekit.types import Blob

#: Inferences before those that count.
WARMUP_RUNS = 3

#: Inferences that are profiled, however fast they are: an engine keeps a record of each.
MOST_RUNS, FEWEST_RUNS = 2000, 5

#: Seconds of one turn, in which either the artifact as it is or the profiled one runs.
TURN_S = 0.05

#: Module of this package that asks an engine, with a function ``profiler``.
_ENGINES = {name: f"edgekit.runtimes.profile_{name}" for name in ("openvino", "onnxruntime", "tflite")}


@dataclass(frozen=True)
class EngineOperator:
    """One operator as the engine executes it, after fusion.

    Attributes:
        name, kind: as the engine calls it.
        parts: names of the operators of the file that it says it was made of; empty where it does not say.
        format: what it computes in, such as ``i8`` or ``f32``; empty where the engine does not tell.
        unit: what executes it, such as ``CPU``, ``XNNPACK`` or ``built-in``.
        time_us: of one inference; 0 for less than the engine's clock resolves, None without a profile.
    """

    name: str
    kind: str
    parts: tuple[str, ...]
    format: str
    unit: str
    time_us: Optional[float]


@dataclass(frozen=True)
class EngineProfile:
    """The operators of one inference.

    Attributes:
        operators: in the order of execution.
        timed: whether the engine timed them.
        runs: inferences that the times rest on.
        resolution_us: the least time that the engine's clock tells.
        plain_us, profiled_us: median of a whole inference without and with the profile, in turns; None where they were
            not asked for.
    """

    operators: tuple[EngineOperator, ...]
    timed: bool
    runs: int = 0
    resolution_us: float = 1.0
    plain_us: Optional[float] = None
    profiled_us: Optional[float] = None


@dataclass(frozen=True)
class Case:
    """What to run.

    Attributes:
        path: the artifact.
        inputs: one batch by input name, as the artifact takes it.
        options: how to open it.
        folder: to write in.
    """

    path: Path
    inputs: Arrays
    options: OpenOptions
    folder: Path


@dataclass(frozen=True)
class Profiler:
    """An artifact that was opened for a profile.

    Attributes:
        operators: what the inferences since ``begin`` took, one after another.
        plain: opens the artifact as it is and returns one inference of it; None, as the next two, where the engine has
            no profile.
        profiled: one inference with the profile.
        begin: called once after the warm-up, with its number of inferences.
        most_runs: inferences that are profiled at most.
    """

    operators: Callable[[], list[EngineOperator]]
    plain: Optional[Callable[[], Callable[[], object]]] = None
    profiled: Optional[Callable[[], object]] = None
    begin: Callable[[int], None] = lambda runs: None
    most_runs: int = MOST_RUNS


@dataclass(frozen=True)
class ProfileJob(Job[EngineProfile]):
    """Ask an engine for the time of each operator.

    Attributes:
        runtime: name in the registry.
        files: the artifact, the entry file first.
        inputs: one ``.npy`` per input name; the first samples are run, in turn where there are fewer than a batch.
        options: how to open it.
        batch: samples per inference; a fixed batch of the artifact goes before.
        seconds: how long to profile, about.
    """

    runtime: str
    files: tuple[Blob, ...]
    inputs: dict[str, Blob]
    options: OpenOptions
    batch: int = 1
    seconds: float = 1.0

    def run(self, work: Workspace) -> EngineProfile:
        if self.runtime not in _ENGINES:
            raise UsageError(
                "no-profile",
                f"{self.runtime} has no profile of its operators.",
                received=self.runtime,
                hint="Leave --profile out, or choose artifacts for onnx, openvino or tflite with --target.",
            )
        case = case_of(work, self.runtime, self.files, self.inputs, self.options, self.batch)
        return profile(self.runtime, case, self.seconds, compare=True)


def case_of(
    work: Workspace,
    runtime: str,
    files: tuple[Blob, ...],
    inputs: Mapping[str, Blob],
    options: OpenOptions,
    batch: int = 1,
) -> Case:
    """One batch for an artifact that its engine can open.

    Raises:
        ModelError, UsageError, DataError: as `Runtime.open` and `narrowed` do.
    """
    path = work.path(files[0])
    check_open(path, options)
    with installed_runtime(runtime).open(path, options) as session:
        count = session.signature.batch or batch
        given = narrowed(session.signature, load_arrays(work, inputs))
    first = {name: np.ascontiguousarray(array[np.arange(count) % len(array)]) for name, array in given.items()}
    return Case(path, first, options, work.folder)


def profile(runtime: str, case: Case, seconds: float, *, compare: bool) -> EngineProfile:
    """What an engine executes.

    Args:
        runtime: name in the registry.
        case: what to run.
        seconds: how long to profile, about.
        compare: also time whole inferences with the profile and without it, in turns.

    Raises:
        ModelError: the engine does not tell; its own words are in the message.
    """
    try:
        opened = cast("Callable[[Case], Profiler]", import_module(_ENGINES[runtime]).profiler)(case)
        if opened.profiled is None:
            return EngineProfile(tuple(opened.operators()), False)
        times = _in_turns(opened, seconds, compare=compare)
        operators = tuple(opened.operators())
    except EdgekitError:
        raise
    except Exception as err:  # every engine has its own exceptions
        raise ModelError(
            "no-profile",
            f"{runtime} does not tell what it executes: {engine_words(err, case.path)}",
            hint="Measure it without a profile: edgekit bench KIT",
        ) from err
    plain, profiled = (statistics.median(found) / 1e3 if found else None for found in times)
    return EngineProfile(operators, True, len(times[1]), plain_us=plain, profiled_us=profiled)


def knows(runtime: str) -> bool:
    """Whether anything can be asked of an engine."""
    return runtime in _ENGINES


def _in_turns(opened: Profiler, seconds: float, *, compare: bool) -> tuple[list[int], list[int]]:
    """Nanoseconds of inferences without the profile and with it: turns of some inferences, so that drift hits both."""
    assert opened.profiled is not None
    plain = opened.plain() if compare and opened.plain is not None else None
    for call in filter(None, (plain, opened.profiled)):
        for _ in range(WARMUP_RUNS):
            call()
    opened.begin(WARMUP_RUNS)
    without: list[int] = []
    profiled: list[int] = []
    until = time.monotonic() + seconds
    turn_s = min(TURN_S, seconds / 4)
    while len(profiled) < opened.most_runs and (len(profiled) < FEWEST_RUNS or time.monotonic() < until):
        if plain is not None:
            without += timed_runs(plain, turn_s)
        profiled += timed_runs(opened.profiled, turn_s, opened.most_runs - len(profiled))
    return without, profiled


def timed_runs(call: Callable[[], object], seconds: float, most: int = MOST_RUNS) -> list[int]:
    """Nanoseconds of calls, one by one, for some seconds: at least one."""
    clock = time.perf_counter_ns
    found: list[int] = []
    end = clock() + int(seconds * 1e9)
    while True:
        start = clock()
        call()
        stop = clock()
        found.append(stop - start)
        if stop >= end or len(found) >= most:
            return found
