"""`edgekit.bench`: how long an inference takes on a device: of artifacts, and of the source beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path

from edgekit.devices import Device, opened_devices, parse_device
from edgekit.devices.on_runtime import on_runtimes, served
from edgekit.errors import MissingError, UsageError
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
from edgekit.latency.bench import candidates_of, in_turns, not_timed, rows_of, unreached
from edgekit.latency.measured import BenchSettings, Measured, Scenario
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
        ModelError: a source that is gone.
        MissingError: the framework of a source is not installed; or the only device cannot be reached, or has neither
            the engine nor the accelerator of any artifact.
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
        chosen = described(served(places, artifacts), work)
        settings = replace(settings, batch=timed_batch(chosen, batch, inputs))
        home = _home(devices) if asked or models else None
        besides = sources_beside(models, chosen, asked, work, inputs)
        samples, origin = inputs_for(chosen, data, labels, work, inputs)
        given = list(zip(chosen, samples, strict=True))
        sources = candidates_beside(besides, given, data, labels, work)
        timing = _Timing(settings, _by_device(places), home, profile, work)
        rows, gained = timing.of(given, sources)
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


def _home(devices: Sequence[Device]) -> str:
    """The device that is this machine: a source runs where its framework is installed.

    Raises:
        UsageError: none of them is.
    """
    for device in devices:
        if parse_device(device.name).kind == "local":
            return device.name
    raise UsageError(
        "source-elsewhere",
        "a source is run by its framework on this machine, not on a device.",
        received=", ".join(device.name for device in devices),
        hint="Leave out the framework of --runtime, or add --device local.",
    )


def _by_device(places: Sequence[Device]) -> tuple[tuple[Device, ...], ...]:
    """What is asked for on each device: several runtimes of one are timed in turns."""
    return tuple(tuple(group) for _, group in groupby(places, lambda place: place.name))


@dataclass(frozen=True, slots=True)
class _Timing:
    """How to time, and where.

    Attributes:
        devices: each with its runtimes.
        home: the device that sources run on; None without any.
    """

    settings: BenchSettings
    devices: Sequence[Sequence[Device]]
    home: str | None
    profile: bool
    work: Workbench

    def of(self, given: Sequence[Given], sources: Sequence[Source]) -> tuple[tuple[BenchRow, ...], tuple[Gain, ...]]:
        """Artifacts on their inputs and sources, on every device side by side, those of one device in turns.

        Raises:
            MissingError: the only device cannot be reached, or has nothing of what is asked for.
        """
        self.work.executor.release_all()  # the processes that loaded the sources hold memory
        found = self.work.side_by_side(lambda places: self._there(places, given, sources), self.devices)
        return tuple(row for rows, _ in found for row in rows), tuple(gain for _, gained in found for gain in gained)

    def _there(
        self, places: Sequence[Device], given: Sequence[Given], sources: Sequence[Source]
    ) -> tuple[tuple[BenchRow, ...], tuple[Gain, ...]]:
        settings, work, device = self.settings, self.work, places[0]
        shares, lost = self._shares(places, given)
        beside = sources if device.name == self.home else ()
        candidates = [one for place, share in shares for one in candidates_of(*_apart(share), work, place)]
        if not candidates and not beside:
            return tuple(lost), ()
        measured = in_turns([*candidates, *(one for _, one in beside)], settings, work, device)
        self._refuse_nothing(measured)
        timed = iter(measured)
        rows: list[BenchRow] = []
        made: list[tuple[Selected, Measured]] = []
        for place, share in shares:
            chosen, inputs = _apart(share)
            mine = list(islice(timed, len(share)))
            found = rows_of(chosen, mine, settings, work, place)
            rows += profiled(found, chosen, inputs, settings, work, place) if self.profile else found
            made += zip(chosen, mine, strict=True)
        ran = [(source, one) for (source, _), one in zip(beside, timed, strict=True)]
        rows += [source_row(source, one, device, device.options().threads, profile=self.profile) for source, one in ran]
        return (*rows, *lost), gains(made, ran, device)

    def _shares(
        self, places: Sequence[Device], given: Sequence[Given]
    ) -> tuple[list[tuple[Device, list[Given]]], list[BenchRow]]:
        """What each runtime of a device is for, and rows for what cannot run there.

        Raises:
            EdgekitError: why it cannot, where this is the only device.
        """
        gone = unreached(places[0], [one for one, *_ in self.devices])
        shares: list[tuple[Device, list[Given]]] = [(place, []) for place in places]
        lost = []
        for place, share in shares:
            for one, inputs in given:
                if not place.serves(one.runtime):
                    continue
                error = gone or self._lacking(place, one)
                if error is None:
                    share.append((one, inputs))
                else:
                    lost.append(not_timed(one, inputs, self.settings, self.work, place, error))
        return shares, lost

    def _lacking(self, place: Device, one: Selected) -> MissingError | None:
        """Why one of several devices cannot run an artifact, as far as that is known beforehand.

        Raises:
            MissingError: it is the only one.
        """
        try:
            place.require(one.runtime)
        except MissingError as error:
            if len(self.devices) == 1:
                raise
            return error
        return None

    def _refuse_nothing(self, measured: Sequence[Measured]) -> None:
        """Where nothing ran since the only device lacks the engine or accelerator, that is the answer.

        Raises:
            MissingError: it does.
        """
        errors = [one.error for one in measured if isinstance(one.error, MissingError)]
        if len(self.devices) == 1 and len(errors) == len(measured):
            raise errors[0]


def _apart(share: Sequence[Given]) -> tuple[list[Selected], list[Mapping[str, Blob]]]:
    """The artifacts, and the inputs of each."""
    return [one for one, _ in share], [inputs for _, inputs in share]
