"""Of the artifacts that several routes give, keep the one that is fastest on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.devices import Device
from edgekit.exporter.attempts import Export
from edgekit.jobs.executor import Executor
from edgekit.latency.measure import measure
from edgekit.latency.measured import BenchSettings, Candidate, Measured
from edgekit.latency.pays import speedup
from edgekit.parity.evaluate import Reference
from edgekit.progress import Update
from edgekit.runtimes import runtime_for
from edgekit.types import VERDICTS, Attempt

#: Routes differ by up to 3.7 times, so a wide interval and a short time tell them apart.
SETTINGS = BenchSettings(openings=4, half_width=0.05, max_seconds=8.0)


def fastest(
    exports: Sequence[Export],
    attempts: Sequence[Attempt],
    reference: Reference,
    executor: Executor,
    device: Device,
    update: Update,
) -> tuple[Export, tuple[Attempt, ...]]:
    """Time accepted artifacts in turns and choose one.

    The best verdict goes first, then the most free dimensions, then the shortest median; one that cannot be told from
    the first of the routes does not displace it. A route whose result is the same file is not timed twice.

    Args:
        exports: accepted, in the order of the routes; at least one.
        attempts: of all routes, these among them.
        reference: its inputs are what is run.
        executor: runs the timing, each opening alone on the machine.
        device: where.
        update: receives progress.

    Returns:
        The choice, and the attempts with what was measured as their reason.
    """
    rank = min(map(_rank, exports))
    distinct = {one.artifact.sha256: one for one in reversed(exports) if _rank(one) == rank}
    rivals = [one for one in exports if distinct.get(one.artifact.sha256) is one]
    notes = {one.artifact.route: _passed_over(one) for one in exports if one not in rivals}
    if len(rivals) > 1:
        candidates = [_candidate(one, reference, device) for one in rivals]
        measured = measure(candidates, executor, device.context(), SETTINGS, update)
        timed = [(one, result) for one, result in zip(rivals, measured, strict=True) if result.p50 is not None]
        winner = _quickest([result for _, result in timed])
        notes |= {one.artifact.route: _note(result, winner, device) for one, result in timed}
        chosen = next((one for one, result in timed if result is winner), rivals[0])
    else:
        chosen = rivals[0]
    return chosen, tuple(replace(one, reason=notes.get(one.route, one.reason)) for one in attempts)


def _rank(export: Export) -> tuple[int, int]:
    return VERDICTS.index(export.evaluation.parity.verdict), len(export.artifact.fixed)


def _passed_over(export: Export) -> str:
    """Why an artifact was not timed."""
    lost = f"{', '.join(export.artifact.fixed)}, " if export.artifact.fixed else ""
    return f"{lost}{export.evaluation.parity.verdict}; not timed, since another is the same file or keeps more."


def _quickest(measured: Sequence[Measured]) -> Measured | None:
    """The first that none of the others is shown to be faster than, the fastest one considered first."""
    ordered = sorted(measured, key=lambda one: one.p50.value if one.p50 is not None else 0.0)
    if not ordered:
        return None
    for one in measured:
        ratio = speedup(one, ordered[0])
        if one is ordered[0] or (ratio is not None and ratio.low <= 1):
            return one
    return ordered[0]


def _candidate(export: Export, reference: Reference, device: Device) -> Candidate:
    return Candidate(
        name=export.artifact.route,
        runtime=runtime_for(export.artifact.target).name,
        files=export.artifact.files,
        inputs=reference.inputs,
        options=device.options(),
        size_bytes=export.artifact.size_bytes,
        fixed_batch=export.artifact.signature.batch,
    )


def _note(result: Measured, winner: Measured | None, device: Device) -> str:
    assert result.p50 is not None
    assert winner is not None
    figure = f"p50 {result.p50.value:.3g} ms on {device.name}"
    if result is winner:
        return f"{figure}, kept"
    ratio = speedup(result, winner)
    if ratio is None:
        return f"{figure}."
    return f"{figure}: {ratio.value:.2f} times the time of the one kept, {ratio.low:.2f} to {ratio.high:.2f}."
