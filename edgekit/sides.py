"""The two sides of a comparison: what each holds, and which of them belong together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.devices import open_device
from edgekit.devices.on_runtime import on_runtimes, parse_runtime, served
from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Comparison
from edgekit.latency.measured import BenchSettings, Scenario
from edgekit.latency.stored import alone, read_result, timings_of
from edgekit.results import unique
from edgekit.runtimes.placement import CPU
from edgekit.selection import Selected, select
from edgekit.timed_inputs import timed_batch
from edgekit.types import Evidence

#: Wall time for a pair of artifacts.
MAX_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How to compare; what is None is as in the stored result that takes part, or the default of `edgekit.bench`.

    Attributes:
        data, labels: samples to run, and the array in them that is no input.
        target, precision: only these artifacts.
        runtime: only the artifacts that these engines run, and on what accelerator: ``onnxruntime:WebGPU``.
        device: where to run; of a stored result, only what was timed there.
        allow_fallback: let the CPU stand in for an accelerator that is missing or takes nothing.
        threads, cpus, batch, sizes, scenario: how to time, see `edgekit.bench`, which calls ``sizes`` inputs.
        max_seconds: wall time for each pair that takes turns, or for each artifact beside a stored result; 20.
        max_regression: 0.05 accepts a p50 of up to 1.05 times the base's.
        copy: whether inferences copy their inputs and outputs, see `BenchSettings`.
    """

    data: str | Path | None = None
    labels: str | None = None
    target: tuple[str, ...] = ()
    precision: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    device: str | None = None
    allow_fallback: bool = False
    threads: int | None = None
    cpus: str | None = None
    batch: int | None = None
    sizes: tuple[str, ...] = ()
    scenario: Scenario | None = None
    max_seconds: float | None = None
    max_regression: float | None = None
    copy: bool = True

    @property
    def settings(self) -> BenchSettings:
        limit = MAX_SECONDS if self.max_seconds is None else self.max_seconds
        return BenchSettings(scenario=self.scenario or "latency", batch=self.batch, copy=self.copy, max_seconds=limit)

    def as_in(self, rows: Sequence[BenchRow]) -> CompareOptions:
        """With the settings of stored timings where none were given: they could not be compared otherwise."""
        row = rows[0]
        scenario: Scenario = row.scenario  # type: ignore[assignment] # a stored string; `BenchSettings` refuses others
        return replace(
            self,
            runtime=self.runtime or unique(row.runtime for row in rows if row.way is None),
            device=self.device or row.device,
            threads=row.threads if self.threads is None and self.device is None else self.threads,
            batch=timed_batch((), self.batch, self.sizes) or row.batch,
            scenario=self.scenario or scenario,
            copy=self.copy and row.input_copy != "nothing",
        )

    def means(self, row: BenchRow) -> bool:
        """Whether a stored timing is one of those to compare."""
        engines = [text.removesuffix(f":{CPU}") for text in self.runtime]
        return (
            _wanted(row.target, self.target)
            and _wanted(row.precision, self.precision)
            and _wanted(row.runtime, engines)
            and self.device in (None, row.device)
        )


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: artifacts, or timings of an earlier day.

    Attributes:
        path: as the user gave it.
        made: artifacts; empty for a stored result.
        rows: its timings.
        evidence: what they rest on.
    """

    path: str
    made: tuple[Selected, ...] = ()
    rows: tuple[BenchRow, ...] = ()
    evidence: Evidence | None = None

    @property
    def names(self) -> list[str]:
        return [one.artifact.name.strip() for one in self.made] or [row.name for row in self.rows]

    @property
    def places(self) -> list[str]:
        """The same with where each ran; for timings alone."""
        return [f"{row.name} ({row.runtime} on {row.device})" for row in self.rows]

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.made] or [row.artifact for row in self.rows]


@dataclass(frozen=True, slots=True)
class Matched:
    """What belongs together.

    Attributes:
        pairs: places in both sides.
        names: of each pair, with where it ran; empty where the artifacts' names say enough.
        lonely: what only one side has.
    """

    pairs: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    lonely: tuple[Comparison, ...]


def side_of(path: str | Path, options: CompareOptions) -> Side:
    """What a path of a comparison holds.

    Raises:
        UsageError: nothing that is meant, or no kit, artifact or result.
    """
    if Path(path).suffix != ".json":
        return Side(str(path), _run_by(options.runtime, select(path, options.target, options.precision)))
    result = read_result(path)
    rows = tuple(row for row in timings_of(result) if options.means(row))
    if not rows:
        words = (str(path), *options.target, *options.precision, *options.runtime, options.device or "")
        raise UsageError(
            "nothing-selected",
            "this result holds no such timing.",
            received=" ".join(filter(None, words)),
            hint="Choose another --target, --precision, --runtime or --device, or time it with edgekit bench.",
        )
    return Side(str(path), rows=rows, evidence=result.evidence)


def matched(base: Side, new: Side) -> Matched:
    """The artifacts of the same name; in results that hold one several times, those of the same runtime and device.

    Raises:
        UsageError: it is not clear which belong together.
    """
    its, mine = base.names, new.names
    unclear = base.rows and new.rows and any(len(set(names)) < len(names) for names in (its, mine))
    if unclear:
        its, mine = base.places, new.places
    found = partners(its, mine)
    lonely = [
        alone(new.paths[place], mine[place], f"{base.path} holds only {', '.join(its)}.")
        for other, place in found
        if other is None and place is not None
    ]
    lonely += [
        alone("", its[other], f"{new.path} holds only {', '.join(mine)}.", baseline=base.paths[other])
        for other, place in found
        if place is None and other is not None
    ]
    pairs = tuple((other, place) for other, place in found if other is not None and place is not None)
    return Matched(pairs, tuple(mine[place] for _, place in pairs) if unclear else (), tuple(lonely))


def partners(base: Sequence[str], new: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Which of two lists of names belong together: places in both, None where one side lacks it.

    Two single ones always do.

    Raises:
        UsageError: a side has a name twice.
    """
    if len(base) == len(new) == 1:
        return [(0, 0)]
    for names in (base, new):
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise UsageError(
                "several-artifacts",
                f"several of these are {double}, so that it is not clear which to compare.",
                received=", ".join(names),
                hint="Give one artifact, or a result of one kit; --device and --runtime choose timings of a result.",
            )
    found: list[tuple[int | None, int | None]] = [
        (base.index(name) if name in base else None, place) for place, name in enumerate(new)
    ]
    return [*found, *((place, None) for place, name in enumerate(base) if name not in new)]


def _run_by(runtimes: Sequence[str], chosen: tuple[Selected, ...]) -> tuple[Selected, ...]:
    """The artifacts that some of the runtimes are for.

    Raises:
        UsageError: none is, there is no such runtime, or an engine is named twice.
    """
    engines = [parse_runtime(text).runtime for text in dict.fromkeys(runtimes)]
    if len(set(engines)) < len(engines):
        raise UsageError(
            "two-accelerators",
            "an engine runs both sides on the same accelerator.",
            received=", ".join(runtimes),
            hint="Name one; edgekit bench --runtime times an artifact on several in turns.",
        )
    return served(on_runtimes([open_device("local")], runtimes), chosen)  # whatever the device is, engines decide


def _wanted(value: str, choice: Collection[str]) -> bool:
    return not choice or "all" in choice or value in choice
