"""Where the time of an inference goes: operator by operator, by the engine's own profile or by bisection.

Profiling changes what it measures, so that nothing here is a latency: the profile has a total of its own and says how
long whole inferences take with it and without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.devices import Device
from edgekit.errors import ModelError
from edgekit.figures import LayerTime, OperatorTime, Profile
from edgekit.jobs.process import Context
from edgekit.latency.bisection import Bisection, Part, Prefixes
from edgekit.latency.measured import Candidate
from edgekit.latency.members import members_of
from edgekit.results import unique
from edgekit.runtimes.base import precision_of
from edgekit.runtimes.profile import EngineOperator, EngineProfile, ProfileJob
from edgekit.surgery.base import Graph
from edgekit.surgery.jobs import ReadGraphJob
from edgekit.workbench import Workbench

#: Seconds of an engine's own profile.
ENGINE_SECONDS = 2.0

#: Where files are read and cut: on this machine, whatever device they run on.
_HERE = Context("local")

#: Part of the whole that the clock of an engine may hide or add without a note.
_FALSE = 0.1


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose layers the operators of a file are.

    Attributes:
        layers: by operator of the file, those that it computes.
        serves: for an operator without any, such as one that changes a layout, those that it works for.
        of: see `Profile.layers_of`.
        notes: why these are not the source's, in full sentences.
    """

    layers: Mapping[str, tuple[str, ...]]
    serves: Mapping[str, tuple[str, ...]]
    of: Literal["source", "file"]
    notes: tuple[str, ...] = ()


def of_the_file(graph: Graph, *notes: str) -> Origin:
    """Every operator of a file as a layer of its own."""
    return Origin({operator.name: (operator.name,) for operator in graph.operators}, {}, "file", notes)


def profile_of(
    candidate: Candidate,
    target: str,
    batch: int,
    work: Workbench,
    device: Device,
    *,
    seconds: float,
    origin: Callable[[Graph], Origin] = of_the_file,
) -> Profile:
    """Profile one artifact in a process of its own.

    Args:
        candidate: the artifact.
        target: its format.
        batch: samples per inference.
        work: of this command.
        device: where it runs.
        seconds: time limit, about; an engine that needs less takes less.
        origin: finds the layers that the operators of a graph compute.

    Raises:
        UsageError: the runtime has no profile.
        ModelError: the engine does not tell, or there is nothing to execute.
    """
    job = ProfileJob(
        candidate.runtime,
        candidate.files,
        dict(candidate.inputs),
        candidate.options,
        batch,
        min(seconds, ENGINE_SECONDS),
    )
    with work.executor.session(candidate.context(device.context())) as execute:
        found = execute(job)
        if not found.operators:
            raise ModelError(
                "no-operators",
                f"{candidate.runtime} executes no operator of {candidate.name}.",
                hint="Leave --profile out: there is nothing to tell apart.",
            )
        graph = work.executor.run(ReadGraphJob(target, candidate.files), _HERE)
        if found.timed:
            return _by_engine(found, graph, origin(graph))
        prefixes = Prefixes(candidate, graph, batch, work, _HERE)
        times = prefixes.bisect(execute, seconds)
    return _by_bisection(times, found, graph, origin(graph))


def _by_engine(found: EngineProfile, graph: Graph, origin: Origin) -> Profile:
    assert found.plain_us is not None  # the job was asked for both
    assert found.profiled_us is not None
    total = sum(one.time_us or 0.0 for one in found.operators)
    rows = [
        _row(one.name, one.kind, _layers(members, origin), one.time_us or 0.0, total, [one])
        for one, members in zip(found.operators, members_of(found.operators, graph), strict=True)
    ]
    return Profile(
        method="engine profile",
        total_ms=total / 1e3,
        operators=_sorted(rows),
        plain_ms=found.plain_us / 1e3,
        profiled_ms=found.profiled_us / 1e3,
        runs=found.runs,
        resolution_ms=found.resolution_us / 1e3,
        layers_of=origin.of,
        layers=_by_layer(rows, origin),
        notes=(*_clock(found, total, found.plain_us), *origin.notes),
    )


def _clock(found: EngineProfile, total: float, plain: float) -> tuple[str, ...]:
    """What the engine's clock hides or adds, where that is a good part of the whole."""
    if total > (1 + _FALSE) * plain:
        return (
            f"profiling slows each operator: they add up to {total:.0f} µs, where an inference takes {plain:.0f} µs, "
            "and the small ones seem to take more than they do.",
        )
    hidden = len(found.operators) * found.resolution_us
    if hidden < _FALSE * total:
        return ()
    return (
        f"the engine's clock counts whole microseconds, so that {len(found.operators)} operators may take up to "
        f"{hidden:.0f} µs more than the {total:.0f} µs that they add up to.",
    )


def _by_bisection(found: Bisection, listed: EngineProfile, graph: Graph, origin: Origin) -> Profile:
    total = sum(part.us for part in found.parts)
    rows = [_row_of_part(part, total, listed.operators, graph, origin) for part in found.parts]
    together = sum(part.end - part.start for part in found.parts if part.end - part.start > 1)
    notes = ["the first operator includes the fixed cost of a call."]
    if together:
        notes.append(
            f"{together} of {len(graph.operators)} operators were timed in groups, for lack of time; "
            "--max-seconds allows more."
        )
    return Profile(
        method="bisection",
        total_ms=total / 1e3,
        operators=_sorted(rows),
        plain_ms=found.whole_us / 1e3,
        profiled_ms=None,
        runs=found.rounds,
        resolution_ms=1e-6,
        layers_of=origin.of,
        layers=_by_layer(rows, origin),
        notes=(*notes, *origin.notes),
    )


def _row_of_part(
    part: Part, total: float, listed: Sequence[EngineOperator], graph: Graph, origin: Origin
) -> OperatorTime:
    operators = graph.operators[part.start : part.end]
    known = listed[part.start : part.end] if len(listed) == len(graph.operators) else ()
    alone = len(operators) == 1
    name = operators[0].name if alone else f"{operators[0].name} … {operators[-1].name}"
    kind = operators[0].kind if alone else f"{len(operators)} operators"
    layers = _layers([operator.name for operator in operators], origin)
    return _row(name, kind, layers, part.us, total, known, part.noise_us)


def _row(
    name: str,
    kind: str,
    layers: tuple[str, ...],
    us: float,
    total_us: float,
    executed: Sequence[EngineOperator],
    noise_us: float | None = None,
) -> OperatorTime:
    formats = [one.format for one in executed]
    units = unique(one.unit for one in executed if one.unit)
    return OperatorTime(
        name=name,
        kind=kind,
        layers=layers,
        ms=us / 1e3,
        share=us / total_us if total_us else 0.0,
        precision=precision_of(formats) or next(filter(None, formats), None),
        placement=" + ".join(units) or None,
        noise_ms=None if noise_us is None else noise_us / 1e3,
    )


def _layers(members: Sequence[str], origin: Origin) -> tuple[str, ...]:
    """Layers that some operators compute, or else those that the last of them works for."""
    found = unique(layer for name in members for layer in origin.layers.get(name, ()))
    return found or (origin.serves.get(members[-1], ()) if members else ())


def _by_layer(rows: Sequence[OperatorTime], origin: Origin) -> tuple[LayerTime, ...]:
    """Operators with the same layers together."""
    found: dict[tuple[str, ...], list[OperatorTime]] = {}
    for row in rows:
        if row.layers and origin.of == "source":
            found.setdefault(row.layers, []).append(row)
    times = (
        LayerTime(layers, sum(one.ms for one in same), sum(one.share for one in same), len(same))
        for layers, same in found.items()
    )
    return tuple(sorted(times, key=lambda time: -time.ms))


def _sorted(rows: Sequence[OperatorTime]) -> tuple[OperatorTime, ...]:
    return tuple(sorted(rows, key=lambda row: -row.ms))
