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

    The best verdict goes first, then the shortest median; a route whose result is the same file is not timed twice.

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
    best_verdict = min((one.evaluation.parity.verdict for one in exports), key=VERDICTS.index)
    distinct = {one.artifact.sha256: one for one in exports if one.evaluation.parity.verdict == best_verdict}
    rivals = list(distinct.values())
    if len(rivals) == 1:
        return rivals[0], tuple(attempts)
    candidates = [_candidate(one, reference, device) for one in rivals]
    measured = measure(candidates, executor, device.context(), SETTINGS, update)
    timed = [(one, result) for one, result in zip(rivals, measured, strict=True) if result.p50 is not None]
    if not timed:  # none can be told from another: the order of the routes decides
        return rivals[0], tuple(attempts)
    chosen, winner = min(timed, key=lambda pair: pair[1].p50.value if pair[1].p50 is not None else 0.0)
    notes = {one.artifact.route: _note(result, winner, device) for one, result in timed}
    return chosen, tuple(replace(one, reason=notes.get(one.route, one.reason)) for one in attempts)


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


def _note(result: Measured, winner: Measured, device: Device) -> str:
    assert result.p50 is not None
    figure = f"p50 {result.p50.value:.3g} ms on {device.name}"
    if result is winner:
        return f"{figure}: the fastest, kept."
    ratio = speedup(result, winner)
    if ratio is None:
        return f"{figure}."
    return f"{figure}: {ratio.value:.2f} times the time of the fastest, {ratio.low:.2f} to {ratio.high:.2f}."
