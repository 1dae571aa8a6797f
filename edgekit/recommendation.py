"""Which artifact to deploy, and why."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.results import ArtifactResult, BenchRow, CheckRow, Latency, Recommendation
from edgekit.types import VERDICTS


def recommend(
    made: Sequence[ArtifactResult], checks: Sequence[CheckRow], timings: Sequence[BenchRow]
) -> Recommendation:
    """The fastest artifact among those with the best verdict that any has.

    Artifacts whose p50 cannot be told apart from the fastest one's are taken as equally fast, and the smallest of
    them is chosen: speed that was not shown is no reason.

    Args:
        made: exported and quantized artifacts.
        checks: how each compares with the source; an artifact without a row was not checked.
        timings: how long each takes.
    """
    verdicts = {row.artifact: row.verdict for row in checks}
    sound = [row for row in made if row.path is not None and verdicts.get(row.path) in ("verified", "weak")]
    if not sound:
        return Recommendation(None, None, "no artifact runs and agrees with the source.")
    best = min(VERDICTS.index(verdicts[str(row.path)]) for row in sound)
    candidates = [row for row in sound if VERDICTS.index(verdicts[str(row.path)]) == best]
    timed = {row.artifact: row.latency_ms for row in timings if row.latency_ms is not None}
    measured = [row for row in candidates if row.path in timed]
    quality = f"{'verified' if best == 0 else 'only weakly verified'} against the source"
    if not measured:
        chosen = min(candidates, key=lambda row: row.size_bytes or 0)
        return Recommendation(chosen.name, chosen.path, f"it is {quality} and the smallest; none could be timed.")
    fastest = min(measured, key=lambda row: timed[str(row.path)].p50)
    tied = [row for row in measured if _overlap(timed[str(row.path)], timed[str(fastest.path)])]
    chosen = min(tied, key=lambda row: row.size_bytes or 0)
    reason = _reason(chosen, tied, len(made), timed, quality, checks)
    return Recommendation(chosen.name, chosen.path, reason)


def _reason(
    chosen: ArtifactResult,
    tied: Sequence[ArtifactResult],
    count: int,
    timed: dict[str, Latency],
    quality: str,
    checks: Sequence[CheckRow],
) -> str:
    p50 = timed[str(chosen.path)].p50
    if len(tied) == 1:
        why = f"it is the fastest of {count} (p50 {p50:.3g} ms) and {quality}"
    else:
        others = ", ".join(row.name for row in tied if row is not chosen)
        why = f"it is {quality}, its p50 ({p50:.3g} ms) cannot be told apart from that of {others}, and it is smaller"
    accuracy = next((row.accuracy for row in checks if row.artifact == chosen.path), None)
    if accuracy is None:
        return f"{why}."
    return f"{why}; accuracy {accuracy.value:.2%} against {accuracy.source_value:.2%} of the source."


def _overlap(one: Latency, other: Latency) -> bool:
    first, second = (latency.ci95_p50 or (latency.p50,) for latency in (one, other))
    return first[0] <= second[-1] and second[0] <= first[-1]
