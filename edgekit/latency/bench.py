"""How long inferences of artifacts take on a device, and whether quantization pays there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from edgekit.devices import Device, open_device
from edgekit.devices.on_runtime import runtime_on
from edgekit.errors import EdgekitError
from edgekit.figures import BenchRow, Pays
from edgekit.kit import Kit
from edgekit.latency.explain import Explainer
from edgekit.latency.measure import measure
from edgekit.latency.measured import BenchSettings, Candidate, Measured
from edgekit.latency.run import Run
from edgekit.latency.validity import timing_reasons
from edgekit.results import unique
from edgekit.selection import Selected
from edgekit.types import Blob, Verdict
from edgekit.workbench import Workbench


def time_on_each(
    places: Sequence[Device],
    chosen: Sequence[Selected],
    inputs: Sequence[Mapping[str, Blob]],
    settings: BenchSettings,
    work: Workbench,
) -> tuple[BenchRow, ...]:
    """`time_artifacts` on every device, side by side; one of several that cannot be reached gives rows that say so."""

    def time_there(device: Device) -> tuple[BenchRow, ...]:
        mine = [pair for pair in zip(chosen, inputs, strict=True) if device.serves(pair[0].runtime)]
        error = unreached(device, places)
        if error is not None:
            return tuple(not_timed(one, given, settings, work, device, error) for one, given in mine)
        return time_artifacts([one for one, _ in mine], [given for _, given in mine], settings, work, device)

    return tuple(row for rows in work.side_by_side(time_there, places) for row in rows)


def unreached(device: Device, places: Sequence[Device]) -> EdgekitError | None:
    """Why one of several devices cannot be used.

    Raises:
        EdgekitError: it is the only one.
    """
    try:
        device.context()
    except EdgekitError as error:
        if len(places) == 1:
            raise
        return error
    return None


def not_timed(
    one: Selected,
    given: Mapping[str, Blob],
    settings: BenchSettings,
    work: Workbench,
    device: Device,
    error: EdgekitError,
) -> BenchRow:
    """The row of an artifact on a device that cannot be reached."""
    candidate = _candidate(one, given, work, device)
    nothing = Measured(candidate, settings.scenario, settings.batch or 1, candidate.options, error=error)
    return artifact_row(one, nothing, device)


def time_artifacts(
    chosen: Sequence[Selected],
    inputs: Sequence[Mapping[str, Blob]],
    settings: BenchSettings,
    work: Workbench,
    device: Device,
) -> tuple[BenchRow, ...]:
    """Time artifacts in turns on a device, and say which quantized ones are faster than their parents.

    Args:
        chosen: what to time.
        inputs: of each of them, one ``.npy`` per input name, as blobs of the executor.
        settings: how to measure.
        work: of this command.
        device: where.
    """
    measured = in_turns(candidates_of(chosen, inputs, work, device), settings, work, device)
    return rows_of(chosen, measured, settings, work, device)


def candidates_of(
    chosen: Sequence[Selected], inputs: Sequence[Mapping[str, Blob]], work: Workbench, device: Device
) -> list[Candidate]:
    """Artifacts as `in_turns` takes them; see `time_artifacts`."""
    for one in chosen:
        device.require(one.runtime)
    return [_candidate(one, given, work, device) for one, given in zip(chosen, inputs, strict=True)]


def in_turns(
    candidates: Sequence[Candidate], settings: BenchSettings, work: Workbench, device: Device
) -> tuple[Measured, ...]:
    """Time candidates in turns on a device, and show progress."""
    with work.reporter.task(f"time {len(candidates)} candidates on {device.name}") as update:
        return measure(candidates, work.executor, device.context(), settings, update)


def rows_of(
    chosen: Sequence[Selected],
    measured: Sequence[Measured],
    settings: BenchSettings,
    work: Workbench,
    device: Device,
) -> tuple[BenchRow, ...]:
    """Rows of artifacts that were timed, with the answer whether each pays beside its parent."""
    by_digest = {one.artifact.sha256: timed for one, timed in zip(chosen, measured, strict=True)}
    explainer = Explainer(work, device, settings)
    return tuple(
        replace(artifact_row(one, timed, device), pays=explainer.pays(one.artifact, by_digest))
        for one, timed in zip(chosen, measured, strict=True)
    )


def pays_in_kit(
    kit: Kit, digests: Sequence[str], inputs: Mapping[str, Blob], work: Workbench, device: Device | None = None
) -> dict[str, Pays]:
    """Time artifacts of a kit beside their parents, for some seconds.

    Args:
        kit: holds the artifacts and what they were made from.
        digests: of the artifacts.
        inputs: one ``.npy`` per input name, samples first.
        work: of this command.
        device: where; this machine by default.

    Returns:
        By digest of the artifact; one whose parent the kit no longer holds is missing.
    """
    where = device or open_device("local")
    held = {artifact.sha256: Selected(artifact, kit.files(artifact), kit) for artifact in kit.artifacts}
    children = [held[digest] for digest in digests if held[digest].artifact.parent in held]
    settings = BenchSettings()
    explainer = Explainer(work, where, settings)
    digests = unique([digest for one in children for digest in (str(one.artifact.parent), one.artifact.sha256)])
    timed = {digest: _once(_candidate(held[digest], inputs, work, where), settings, work, where) for digest in digests}
    found: dict[str, Pays] = {}
    for child in children:
        (found[child.artifact.sha256],) = explainer.pays(child.artifact, timed)
    return found


def _once(candidate: Candidate, settings: BenchSettings, work: Workbench, device: Device) -> Measured:
    """One opening in a process of its own: what it needs of memory, and whether it runs at all."""
    run = Run(candidate, work.executor, settings)
    run.take_fresh(device.context(), 0)
    return run.result()


def _candidate(one: Selected, inputs: Mapping[str, Blob], work: Workbench, device: Device) -> Candidate:
    artifact = one.artifact
    return Candidate(
        name=artifact.name.strip(),
        runtime=one.runtime.name,
        files=tuple(work.executor.add(file) for file in one.files),
        inputs=inputs,
        options=device.options(),
        size_bytes=artifact.size_bytes,
        fixed_batch=artifact.signature.batch,
    )


def artifact_row(one: Selected, timed: Measured, device: Device) -> BenchRow:
    known = one.kit.manifest.source if one.kit is not None else None
    return replace(
        timing_row(timed, device, one.path, one.artifact.target, one.artifact.precision),
        runtime=runtime_on(one.runtime, device),
        sha256=one.artifact.sha256,
        source=known.path if known is not None else None,
        source_sha256=known.sha256 if known is not None else None,
    )


def timing_row(timed: Measured, device: Device, path: str, target: str, precision: str) -> BenchRow:
    """The row of what was timed, by its path, format and precision; where it came from is left open."""
    reasons = (*timed.notes, *timing_reasons(timed))
    verdict: Verdict = "weak" if timing_reasons(timed) else "verified"
    if timed.error is not None:
        verdict, reasons = "error", (*reasons, str(timed.error))
    return BenchRow(
        artifact=path,
        target=target,
        precision=precision,
        runtime=timed.candidate.runtime,
        device=device.name,
        threads=timed.options.threads,
        batch=timed.batch,
        scenario=timed.scenario,
        latency_ms=timed.latency_ms,
        throughput_per_s=timed.throughput_per_s,
        load_ms=timed.load_ms,
        load_cached_ms=timed.load_cached_ms,
        streams=timed.streams,
        input_copy=timed.openings[0].copies if timed.openings else None,
        first_ms=timed.first_ms,
        peak_rss_mb=timed.peak_rss_mb,
        size_bytes=timed.candidate.size_bytes,
        openings=len(timed.openings),
        samples=sum(len(samples) for samples in timed.samples_ms),
        opening_p50_ms=timed.opening_p50_ms,
        verdict=verdict,
        reasons=reasons,
        effective=timed.openings[0].effective if timed.openings else None,
        environment=timed.facts(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
