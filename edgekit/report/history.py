"""How the checks and timings of a kit went over time: its results are kept, one file each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from edgekit.checked import CheckRow
from edgekit.figures import BenchRow
from edgekit.report import text
from edgekit.results import BenchResult, CheckResult, RunResult
from edgekit.types import Evidence, Verdict

if TYPE_CHECKING:
    from edgekit.report.kept import Stored


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a series.

    Attributes:
        at: UTC, ISO 8601.
        verdict: of the check.
        sha256: of the artifact.
        sqnr_db: of the worst output; None when all are equal, or the artifact did not run.
        equal: whether all are equal.
    """

    at: str
    verdict: Verdict
    sha256: str | None
    sqnr_db: float | None
    equal: bool

    @property
    def figure(self) -> str:
        if self.sqnr_db is None:
            return "equal" if self.equal else "no figure"
        return f"{self.sqnr_db:.1f} dB"


@dataclass(frozen=True, slots=True)
class Timing:
    """One timing of a series.

    Attributes:
        at: UTC, ISO 8601.
        verdict: of the timing.
        sha256: of the artifact.
        p50_ms: None when it failed.
        ci95_p50: its interval; empty for a single opening.
    """

    at: str
    verdict: Verdict
    sha256: str | None
    p50_ms: float | None
    ci95_p50: tuple[float, ...]

    @property
    def figure(self) -> str:
        if self.p50_ms is None:
            return "no figure"
        around = f" ({text.half_width(self.p50_ms, self.ci95_p50)})" if self.ci95_p50 else ""
        return f"{text.number(self.p50_ms)} ms{around}"


class Moment(Protocol):
    """What both have in common."""

    @property
    def at(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def figure(self) -> str: ...


@dataclass(frozen=True, slots=True)
class CheckTrend:
    """Checks of one artifact on one device and on as many samples of one kind: others cannot be compared.

    Attributes:
        artifact: target and precision.
        evidence: what all rest on.
        moments: the oldest first, two or more.
    """

    artifact: str
    device: str
    evidence: str
    moments: tuple[Check, ...]

    @property
    def name(self) -> str:
        return _name(self.artifact, self.device)

    @property
    def sentence(self) -> str:
        """How often, since when, and how it moved."""
        return _sentence(self.moments, f"checks on {self.evidence}")


@dataclass(frozen=True, slots=True)
class TimingTrend:
    """Timings of one artifact, or one way to run the source, on one device and CPU and with the same settings.

    Attributes:
        artifact: target and precision, or framework and way.
        settings: beside the device, such as ``2 threads``; empty for the usual ones.
        cpu: its model; timings of another machine of the same name are another series.
        moments: the oldest first, two or more.
    """

    artifact: str
    device: str
    settings: str
    cpu: str
    moments: tuple[Timing, ...]

    @property
    def name(self) -> str:
        return _name(self.artifact, self.device) + (f", {self.settings}" if self.settings else "")

    @property
    def sentence(self) -> str:
        """How often, since when, and how it moved."""
        weak = sum(moment.verdict == "weak" for moment in self.moments)
        return _sentence(self.moments, "timings", f", {weak} weak" if weak else "")


@dataclass(frozen=True, slots=True)
class History:
    """Every series of two or more, in the order in which they began."""

    checks: tuple[CheckTrend, ...] = ()
    timings: tuple[TimingTrend, ...] = ()


def listed(history: History) -> list[tuple[str, list[str]]]:
    """A heading with one sentence per series, for views of text; nothing for what has no series."""
    found = (("History of checks", history.checks), ("History of timings", history.timings))
    return [(title, [f"{trend.name}: {trend.sentence}" for trend in trends]) for title, trends in found if trends]


def history_of(results: Sequence[Stored]) -> History:
    """Series among the results of a kit, the oldest first."""
    checks: dict[tuple[str, str, str], list[Check]] = {}
    timings: dict[tuple[str, str, str, str], list[Timing]] = {}
    for stored in results:
        for row, evidence in _checks(stored):
            on = text.count(evidence.samples, f"{evidence.inputs} sample")
            unit = row.runtime.partition(":")[2]
            key = f"{row.target} {row.precision}" + (f" ({unit})" if unit else ""), row.device, on
            checks.setdefault(key, []).append(_check(stored.at, row))
        for timed in _timings(stored):
            setting = timed.name, timed.device, _settings(timed), timed.environment.get("cpu", "")
            latency = timed.latency_ms
            p50, interval = (None, ()) if latency is None else (latency.p50, latency.ci95_p50)
            moment = Timing(timed.measured_at, timed.verdict, timed.sha256, p50, interval)
            timings.setdefault(setting, []).append(moment)
    return History(
        tuple(CheckTrend(*key, tuple(found)) for key, found in checks.items() if len(found) > 1),
        tuple(TimingTrend(*key, tuple(found)) for key, found in timings.items() if len(found) > 1),
    )


def _checks(stored: Stored) -> Iterator[tuple[CheckRow, Evidence]]:
    result = stored.document
    if isinstance(result, CheckResult | RunResult):
        for row in result.checks if isinstance(result, RunResult) else result.results:
            yield row, row.evidence or result.evidence


def _timings(stored: Stored) -> tuple[BenchRow, ...]:
    result = stored.document
    if isinstance(result, RunResult):
        return result.latency
    return result.results if isinstance(result, BenchResult) else ()


def _check(at: str, row: CheckRow) -> Check:
    noisy = [output.sqnr_db for output in row.outputs if output.sqnr_db is not None]
    equal = bool(row.outputs) and all(output.max_abs == 0 for output in row.outputs)
    return Check(at, row.verdict, row.sha256, min(noisy, default=None), equal)


def _settings(row: BenchRow) -> str:
    """What sets a timing apart from the usual one: a sample at a time with the engine's own choice of threads."""
    unit = row.runtime.partition(":")[2] if row.way is None else ""
    said = {
        f"on {unit}": bool(unit),
        text.count(row.threads or 0, "thread"): row.threads is not None,
        text.count(row.streams, "stream"): row.streams != 1,
        f"batch {row.batch}": row.batch != 1,
        row.scenario: row.scenario != "latency",
        "nothing copied": row.input_copy == "nothing",
    }
    return ", ".join(words for words, odd in said.items() if odd)


def _sentence(moments: Sequence[Moment], what: str, doubtful: str = "") -> str:
    first, last = moments[0].figure, moments[-1].figure
    moved = last if first == last else f"{first} → {last}"
    since = f"{len(moments)} {what} since {text.moment(moments[0].at)}"
    bad = sum(moment.verdict in ("failed", "error") for moment in moments)
    failed = f", {bad} failed" if bad else ""
    made = sum(moment.sha256 != other.sha256 for moment, other in pairwise(moments))
    again = f", made again {'once' if made == 1 else f'{made} times'}" if made else ""
    return f"{moved}; {since}{failed}{doubtful}{again}."


def _name(artifact: str, device: str) -> str:
    return artifact if device == "local" else f"{artifact} on {device}"
