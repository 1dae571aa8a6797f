"""Time artifacts side by side.

Each opening has a fresh process, since where the memory of a process comes to lie has a share in its speed; what
takes long to start, such as a training framework, keeps one. The openings of all artifacts take turns in rounds, each
alone on the machine, and every other round goes backwards, so that drift hits all alike: under load the ratio of
two artifacts stays within 1 to 4 % where the figures themselves move by 15 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from edgekit.errors import EdgekitError
from edgekit.jobs.executor import Executor, OnProgress
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.latency.measured import BenchSettings, Candidate, Measured, Scenario
from edgekit.latency.run import Run
from edgekit.latency.search import search

__all__ = ["BenchSettings", "Candidate", "Measured", "Scenario", "measure"]

#: Seconds that a process may take to start, its engine's import included, for every opening to get a fresh one.
FRESH_S = 1.0


def measure(
    candidates: Sequence[Candidate],
    executor: Executor,
    context: Context,
    settings: BenchSettings,
    on_progress: OnProgress = lambda progress: None,
) -> tuple[Measured, ...]:
    """Time candidates in turns until each is known as closely as asked, or its time is up.

    Args:
        candidates: what to time; an error in one is its result and leaves the others alone.
        executor: runs the openings, each alone on the machine.
        context: interpreter and variables of the engines.
        settings: how long, how close, which scenario.
        on_progress: told before each opening.

    Returns:
        One for each candidate, in order.
    """
    runs = [Run(candidate, executor, settings) for candidate in candidates]
    if settings.scenario == "throughput" and not settings.emulated:
        for run in runs:
            search(run, run.candidate.context(context), on_progress)
    with ExitStack() as processes:
        for run in runs:
            processes.enter_context(run.process)
        number = 0
        while active := [run for run in runs if run.active]:
            for run in active if number % 2 == 0 else reversed(active):
                stage = f"{run.candidate.name}: opening {len(run.openings) + 1}, {settings.openings} or more"
                on_progress(Progress(stage))
                _opening(run, run.candidate.context(context), number, within(stage, on_progress))
            number += 1
    return tuple(run.result() for run in runs)


def within(stage: str, on_progress: OnProgress) -> OnProgress:
    """What a job tells, or for whom it waits on a device, behind the stage that it is a part of."""
    return lambda step: on_progress(Progress(f"{stage}: {step.stage}"))


def _opening(run: Run, context: Context, number: int, on_progress: OnProgress) -> None:
    """One opening of a candidate, in a fresh process or in the one that it keeps."""
    try:
        execute = run.execute or run.process.enter_context(run.executor.session(context, on_progress))
    except EdgekitError as error:  # the device is gone
        run.stop(error)
        return
    run.execute = execute
    run.take(execute, number)
    slow_start = run.candidate.compiles or run.start_s >= FRESH_S
    if not slow_start or run.settings.scenario == "cold" or run.error is not None:
        run.process.close()
        run.execute = None
    if run.settings.scenario == "cold" and run.error is None:
        with run.executor.session(context, on_progress) as execute_load:
            run.take_cached(execute_load)
