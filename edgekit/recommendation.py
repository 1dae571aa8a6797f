"""Which artifact to deploy, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.checked import CheckRow
from edgekit.figures import ArtifactResult, BenchRow, Latency, Pays, Recommendation
from edgekit.types import VERDICTS, Verdict

#: A p50 from a single opening has no interval. Openings of one artifact differ by 2 to 3 %, engines under load by
#: more, so nothing under this share is told apart.
UNKNOWN_SHARE = 0.10


def recommend(
    made: Sequence[ArtifactResult], checks: Sequence[CheckRow], timings: Sequence[BenchRow]
) -> Recommendation:
    """The fastest artifact among those with the best verdict that any has.

    Artifacts whose p50 cannot be told apart from the fastest one's are taken as equally fast, and the smallest of
    them is chosen: speed that was not shown is no reason. Where the paired comparison of an artifact with its parent
    ("does it pay?") tells the two apart, it decides between them: it is steadier than either figure.

    Args:
        made: exported and quantized artifacts.
        checks: how each compares with the source; an artifact without a row was not checked.
        timings: how long each takes; a row whose verdict is ``error`` is no timing.
    """
    verdicts = {row.artifact: row.verdict for row in checks}
    sound = [row for row in made if row.path is not None and verdicts.get(row.path) in ("verified", "weak")]
    if not sound:
        return Recommendation(None, None, "no artifact runs and agrees with the source.")
    best = min(VERDICTS.index(verdicts[str(row.path)]) for row in sound)
    candidates = [row for row in sound if VERDICTS.index(verdicts[str(row.path)]) == best]
    timed = {row.artifact: row for row in timings if row.latency_ms and row.verdict != "error" and not row.emulated}
    measured = [row for row in candidates if row.path in timed]
    quality = f"{'verified' if best == 0 else 'only weakly verified'} against the source"
    if not measured:
        chosen = min(candidates, key=lambda row: row.size_bytes or 0)
        why = "times on an emulated CPU do not count" if any(row.emulated for row in timings) else "none could be timed"
        return Recommendation(chosen.name, chosen.path, f"it is {quality} and the smallest; {why}.")
    fastest = min(measured, key=lambda row: _latency(timed, row).p50)
    tied = _without_slower([row for row in measured if _tied(_latency(timed, row), _latency(timed, fastest))], timed)
    chosen = min(tied, key=lambda row: row.size_bytes or 0)
    parts = [
        _why(chosen, tied, len(measured), timed, quality),
        *_paid(chosen, made, timed),
        *_faster(chosen, [row for row in made if row not in candidates], timed, verdicts),
        *_accuracy(chosen, checks),
        *(["its timing is weak, see the notes"] if timed[str(chosen.path)].verdict == "weak" else []),
    ]
    return Recommendation(chosen.name, chosen.path, f"{'; '.join(parts)}.")


def _without_slower(tied: Sequence[ArtifactResult], timed: Mapping[str, BenchRow]) -> list[ArtifactResult]:
    """Of each artifact and its parent only the faster one, where the two in turns showed which that is."""
    slower = []
    for row in tied:
        parent, found = _parent(row, tied), _pays(row, timed)
        if parent is not None and found is not None and found.answer != "not shown":
            slower.append(parent if found.answer == "yes" else row)
    return [row for row in tied if row not in slower]


def _parent(row: ArtifactResult, among: Sequence[ArtifactResult]) -> ArtifactResult | None:
    """What an artifact was made from: a method is the last step of its route."""
    made_from = str(row.route).rpartition(">")[0]
    return next((one for one in among if one.target == row.target and one.route == made_from and one is not row), None)


def _pays(row: ArtifactResult, timed: Mapping[str, BenchRow]) -> Pays | None:
    """The answer of this timing, else that of the quantization."""
    found = (*timed[str(row.path)].pays, *row.pays)
    return found[0] if found else None


def _paid(chosen: ArtifactResult, made: Sequence[ArtifactResult], timed: Mapping[str, BenchRow]) -> list[str]:
    parent, found = _parent(chosen, made), _pays(chosen, timed)
    if parent is None or found is None or found.speedup is None:
        return []
    if found.answer == "yes":
        return [f"in turns it was {found.speedup:.3g} times as fast as {parent.name}, which it was made from"]
    if found.answer == "no":
        return [f"it does not pay against {parent.name}, which it was made from ({found.speedup:.2g} times the speed)"]
    return [f"no gain over {parent.name}, which it was made from, was shown"]


def _why(
    chosen: ArtifactResult, tied: Sequence[ArtifactResult], count: int, timed: Mapping[str, BenchRow], quality: str
) -> str:
    p50 = _latency(timed, chosen).p50
    if count == 1:
        return f"it is {quality} (p50 {p50:.3g} ms), and the only one with that verdict that was timed"
    if len(tied) == 1:
        return f"it is the fastest of {count} (p50 {p50:.3g} ms) and {quality}"
    others = ", ".join(row.name for row in tied if row is not chosen)
    return f"it is {quality}, its p50 ({p50:.3g} ms) cannot be told apart from that of {others}, and it is smaller"


def _faster(
    chosen: ArtifactResult,
    others: Sequence[ArtifactResult],
    timed: Mapping[str, BenchRow],
    verdicts: Mapping[str, Verdict],
) -> list[str]:
    """What is shown to be faster and was left out for its verdict."""
    mine = _latency(timed, chosen)
    words = {"weak": "only weakly verified", "failed": "failed its check", "error": "could not be checked"}
    found = []
    for row in others:
        if row.path is None or row.path not in timed:
            continue
        latency = _latency(timed, row)
        if latency.p50 < mine.p50 and not _tied(latency, mine):
            verdict = verdicts.get(row.path)
            why = "was not checked" if verdict is None else words[verdict]
            found.append(f"{row.name} is faster (p50 {latency.p50:.3g} ms), but {why}")
    return found


def _accuracy(chosen: ArtifactResult, checks: Sequence[CheckRow]) -> list[str]:
    accuracy = next((row.accuracy for row in checks if row.artifact == chosen.path), None)
    if accuracy is None:
        return []
    return [f"accuracy {accuracy.value:.2%} against {accuracy.source_value:.2%} of the source"]


def _latency(timed: Mapping[str, BenchRow], row: ArtifactResult) -> Latency:
    latency = timed[str(row.path)].latency_ms
    assert latency is not None, "rows without a latency are no timing"
    return latency


def _tied(one: Latency, other: Latency) -> bool:
    """Whether the intervals meet; where one has none, whether the medians lie within `UNKNOWN_SHARE`."""
    if one.ci95_p50 and other.ci95_p50:
        return one.ci95_p50[0] <= other.ci95_p50[-1] and other.ci95_p50[0] <= one.ci95_p50[-1]
    return max(one.p50, other.p50) <= (1 + UNKNOWN_SHARE) * min(one.p50, other.p50)
