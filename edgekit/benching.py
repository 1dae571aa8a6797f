"""`edgekit.bench`: how long an inference takes on a device: of artifacts, and of the source beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.devices import Device, opened_devices, parse_device
from edgekit.devices.on_runtime import on_runtimes, served
from edgekit.errors import EdgekitError, UsageError
from edgekit.exporter.beside import (
    Beside,
    asked_for,
    candidates_beside,
    gains,
    is_model,
    source_row,
    sources_beside,
)
from edgekit.exporter.timing import SourceCandidate
from edgekit.figures import BenchRow, Gain
from edgekit.jobs.process import Context
from edgekit.latency.bench import candidates_of, in_turns, not_timed, rows_of, unreached
from edgekit.latency.measured import BenchSettings, Scenario
from edgekit.latency.stored import compared, read_timings
from edgekit.profiling import profiled, refuse_other_scenarios
from edgekit.progress import SILENT, Reporter
from edgekit.results import BenchResult, holds, unique
from edgekit.selection import Selected, select
from edgekit.timed_inputs import described, extent, inputs_for, timed_batch
from edgekit.types import Blob, Evidence, worst
from edgekit.workbench import Workbench, workbench

#: An artifact and what it runs on; a source and one way to run it.
Given = tuple[Selected, Mapping[str, Blob]]
Source = tuple[Beside, SourceCandidate]


def bench(
    paths: str | Path | Sequence[str | Path],
    *,
    data: str | Path | None = None,
    labels: str | None = None,
    target: str | Sequence[str] = (),
    precision: str | Sequence[str] = (),
    runtime: str | Sequence[str] = (),
    device: str | Sequence[str] = "local",
    allow_fallback: bool = False,
    threads: int | None = None,
    cpus: str | None = None,
    batch: int | None = None,
    streams: int | None = None,
    inputs: Sequence[str] = (),
    zero_copy: bool = False,
    scenario: Scenario = "latency",
    max_seconds: float | None = None,
    baseline: str | Path | None = None,
    max_regression: float | None = None,
    profile: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> BenchResult:
    """Time artifacts side by side, each in a fresh process and over several openings, and sources beside them.

    Args:
        paths: kits, artifacts, or models: a trained model is run by its own framework.
        data: samples to run; the kit's golden inputs by default.
        labels: name of an array in the data that is no input; it is left out.
        target, precision: only these artifacts.
        runtime: engines, for only the artifacts that these run, and on what accelerator: ``onnxruntime:WebGPU``; and
            ways to run the source beside the artifacts, such as ``keras:jax``, ``keras:torch:predict`` or
            ``torch:compiled``, see `edgekit.exporter.ways`. Without a way, all that there are.
        device: where to run; several work side by side, and one that cannot be reached leaves the others' rows.
        allow_fallback: let the CPU stand in for an accelerator that is missing or takes nothing, and say so.
        threads: inference threads; None is the engine's own choice.
        cpus: CPUs to pin to: ``0,2-3``, ``big``, ``little`` or ``one``.
        batch: samples per inference; 1, or what the artifact is fixed to, by default.
        streams: inferences side by side, for ``throughput``; by default the number that gives most.
        inputs: sizes of free dimensions, as ``image=1x224x224x3``; the samples are then cut or repeated to them.
        zero_copy: bind inputs and outputs once, where each inference copies them by default.
        scenario: ``latency``, ``throughput`` or ``cold``.
        max_seconds: time limit per artifact; 20 by default.
        baseline: a stored result (``results/bench-*.json``) to compare with.
        max_regression: 0.05 accepts a p50 of up to 1.05 times the baseline's.
        profile: also show where the time of each artifact goes, operator by operator; of ``latency`` only.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Returns:
        One row per artifact, then one per way to run a source. ``ok`` is false when a row is an error or a
        regression was shown.

    Raises:
        UsageError: nothing to time, no inputs to run, or bad options.
        ModelError, MissingError: a source that is gone, or whose framework is not installed.
    """
    settings = BenchSettings(scenario=scenario, batch=batch, streams=streams, copy=not zero_copy)
    settings = settings if max_seconds is None else replace(settings, max_seconds=max_seconds)
    if max_regression is not None and baseline is None:
        raise UsageError(
            "regression-without-baseline",
            "--max-regression needs something to compare with.",
            received=str(max_regression),
            hint="Give --baseline RESULT.json",
        )
    if profile:
        refuse_other_scenarios(settings)
    targets = (target,) if isinstance(target, str) else tuple(target)
    precisions = (precision,) if isinstance(precision, str) else tuple(precision)
    asked, engines = asked_for((runtime,) if isinstance(runtime, str) else tuple(runtime))
    listed = [paths] if isinstance(paths, (str, Path)) else list(paths)
    models = [path for path in listed if is_model(path)]
    artifacts = tuple(one for path in listed if path not in models for one in select(path, targets, precisions))
    stored = () if baseline is None else read_timings(baseline)
    with opened_devices(device, threads=threads, cpus=cpus) as devices, workbench(reporter) as work:
        places = on_runtimes(devices, engines, allow_fallback=allow_fallback)
        chosen = described(served(places, artifacts), work, _first_reached(places))
        settings = replace(settings, batch=timed_batch(chosen, batch, inputs))
        besides = sources_beside(models, chosen, asked, work, inputs)
        _refuse_elsewhere(besides, devices)
        samples, origin = inputs_for(chosen, data, labels, work, inputs)
        given = list(zip(chosen, samples, strict=True))
        sources = candidates_beside(besides, given, data, labels, work)
        rows, gained = _Timing(settings, places, profile, work).of(given, sources)
        comparisons = () if baseline is None else compared(rows, stored, max_regression)
        undecided = max_regression is not None and any(one.answer == "not comparable" for one in comparisons)
        verdict = worst(row.verdict for row in rows)
        verdict = worst([verdict, "weak"]) if undecided else verdict
        kits = unique(str(one.kit.folder) for one in chosen if one.kit is not None)
        result = BenchResult(
            ok=holds(verdict, strict=strict) and not any(one.regression for one in comparisons),
            verdict=verdict,
            evidence=Evidence(origin, *extent([*samples, *(one.inputs for _, one in sources)], work)),
            kit=kits[0] if len(kits) == 1 else None,
            results=rows,
            comparisons=comparisons,
            gains=gained,
        )
        if len(kits) == 1 and chosen[0].kit is not None:
            chosen[0].kit.commit(result=result)
        return result


def _first_reached(places: Sequence[Device]) -> Context:
    """Where a file outside a kit is opened to learn its signature.

    Raises:
        EdgekitError: no device can be reached; why the last one cannot.
    """
    for place in places[:-1]:
        with suppress(EdgekitError):
            return place.context()
    return places[-1].context()


def _refuse_elsewhere(besides: Sequence[Beside], devices: Sequence[Device]) -> None:
    """A source runs where its framework is installed: on this machine.

    Raises:
        UsageError: it is to be timed on another device.
    """
    if besides and parse_device(devices[0].name).kind != "local":
        raise UsageError(
            "source-elsewhere",
            "a source is run by its framework on this machine, not on a device.",
            received=devices[0].name,
            hint="Leave out the framework of --runtime, or give --device local first.",
        )


@dataclass(frozen=True, slots=True)
class _Timing:
    """How to time, and where: sources on the first device, which is this machine."""

    settings: BenchSettings
    places: Sequence[Device]
    profile: bool
    work: Workbench

    def of(self, given: Sequence[Given], sources: Sequence[Source]) -> tuple[tuple[BenchRow, ...], tuple[Gain, ...]]:
        """Artifacts on their inputs and sources, on every device side by side, those of one device in turns."""
        self.work.executor.release_all()  # the processes that loaded the sources hold memory
        found = self.work.side_by_side(lambda place: self._there(place, given, sources), self.places)
        return tuple(row for rows, _ in found for row in rows), tuple(gain for _, gained in found for gain in gained)

    def _there(
        self, place: Device, given: Sequence[Given], sources: Sequence[Source]
    ) -> tuple[tuple[BenchRow, ...], tuple[Gain, ...]]:
        settings, work = self.settings, self.work
        mine = [pair for pair in given if place.serves(pair[0].runtime)]
        error = unreached(place, self.places)
        if error is not None:
            return tuple(not_timed(one, inputs, settings, work, place, error) for one, inputs in mine), ()
        beside = sources if place is self.places[0] else ()
        chosen, samples = [one for one, _ in mine], [inputs for _, inputs in mine]
        candidates = [*candidates_of(chosen, samples, work, place), *(one for _, one in beside)]
        measured = in_turns(candidates, settings, work, place)
        made = list(zip(chosen, measured, strict=False))
        ran = [(source, one) for (source, _), one in zip(beside, measured[len(chosen) :], strict=True)]
        rows = rows_of(chosen, [one for _, one in made], settings, work, place)
        rows += tuple(source_row(source, one, place, place.options().threads) for source, one in ran)
        if self.profile:
            rows = profiled(rows, chosen, samples, settings, work, place)
        return rows, gains(made, ran, place)
