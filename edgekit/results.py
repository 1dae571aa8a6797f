"""What the public functions return: frozen, with the JSON form that ``--json`` prints.

JSON is the truth; terminal tables, Markdown and HTML (`edgekit.report`) are views of these. ``verdict`` is the
worst of the parts, and ``ok`` is true exactly when the command exits with 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from edgekit.checked import CheckRow
from edgekit.figures import ArtifactResult, BenchRow, Comparison, Gain, Recommendation, SourceSummary
from edgekit.jobs.codec import to_json
from edgekit.types import Evidence, Verdict


class Result:
    """Base of what a command returns: adds the schema to the JSON form.

    Attributes:
        exit_code: what the command leaves with when the result is not ``ok``.
    """

    __slots__ = ()
    schema: ClassVar[str]
    exit_code: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        return {"schema": self.schema, **to_json(self)}


@dataclass(frozen=True, slots=True)
class ExportResult(Result):
    """What `edgekit.export` and `edgekit.quantize` return; they differ in the schema."""

    schema: ClassVar[str] = "edgekit.export/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    kit: str
    source: SourceSummary
    artifacts: tuple[ArtifactResult, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuantizeResult(Result):
    """What `edgekit.quantize` returns."""

    schema: ClassVar[str] = "edgekit.quantize/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    kit: str
    artifacts: tuple[ArtifactResult, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """What quantizing one operator alone does to the model.

    Attributes:
        layer: name that ``--ignore`` takes.
        kind: type of the operator, such as ``Convolution``.
        sqnr_db: of the worst output; None when nothing changed.
        metric_drop: loss of the task metric; None without labels.
        low_bit_macs: share of the model's multiply-accumulates that it holds.
    """

    layer: str
    kind: str
    sqnr_db: float | None
    metric_drop: float | None
    low_bit_macs: float | None


@dataclass(frozen=True, slots=True)
class SensitivityRow:
    """The operators of one artifact, the most damaging first.

    Attributes:
        artifact: the fp32 artifact, as a path.
        recipe: short name of what each operator was quantized with.
        layers: ranked; those that the budget left no time for are missing.
        not_measured: how many these are.
    """

    artifact: str
    target: str
    precision: str
    recipe: str
    layers: tuple[LayerSensitivity, ...]
    not_measured: int
    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SensitivityResult(Result):
    """What `edgekit.quantize` returns with ``sensitivity``."""

    schema: ClassVar[str] = "edgekit.sensitivity/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    kit: str
    results: tuple[SensitivityRow, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult(Result):
    """What `edgekit.check` returns.

    Attributes:
        kit: of the artifacts; None for a file of its own.
        against: path of what they were compared with.
        stored: whether the kit keeps this result; not where they were compared with something else than its source.
    """

    schema: ClassVar[str] = "edgekit.check/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    kit: str | None
    against: str
    results: tuple[CheckRow, ...]
    stored: bool = True


@dataclass(frozen=True, slots=True)
class BenchResult(Result):
    """What `edgekit.bench` returns.

    Attributes:
        results: artifacts, and then sources that were timed beside them.
        gains: each artifact beside each way to run its source.
    """

    schema: ClassVar[str] = "edgekit.bench/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    kit: str | None
    results: tuple[BenchRow, ...]
    comparisons: tuple[Comparison, ...] = ()
    gains: tuple[Gain, ...] = ()


@dataclass(frozen=True, slots=True)
class CompareResult(Result):
    """What `edgekit.compare` returns.

    Attributes:
        base, new: as they were given.
        comparisons: one for each artifact that both sides have, then one for each that only one has.
        base_results, new_results: the timings that were compared, in the order of the comparisons.
        output: the Markdown summary; None when none was asked for.
    """

    schema: ClassVar[str] = "edgekit.compare/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    base: str
    new: str
    comparisons: tuple[Comparison, ...]
    base_results: tuple[BenchRow, ...]
    new_results: tuple[BenchRow, ...]
    output: str | None = None


@dataclass(frozen=True, slots=True)
class RunResult(Result):
    """What `edgekit.run` returns: the whole path of one source.

    Attributes:
        key: digest of everything that could change the result.
        measured_at: UTC, ISO 8601.
        cached: whether this is a stored result; nothing has run then.
        report: the HTML page; None when no artifact was made.
    """

    schema: ClassVar[str] = "edgekit.run/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    kit: str
    source: SourceSummary
    artifacts: tuple[ArtifactResult, ...]
    checks: tuple[CheckRow, ...]
    latency: tuple[BenchRow, ...]
    recommendation: Recommendation
    key: str
    measured_at: str
    cached: bool
    report: str | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Runs(Result):
    """Several runs of one command; the evidence is what all of them have."""

    schema: ClassVar[str] = "edgekit.runs/1"
    ok: bool
    verdict: Verdict
    evidence: Evidence
    runs: tuple[RunResult, ...]


def holds(verdict: Verdict, *, strict: bool) -> bool:
    """Whether a verdict lets the command exit with 0: ``weak`` does, unless ``--strict``."""
    return verdict == "verified" or (verdict == "weak" and not strict)


def unique(reasons: Iterable[str]) -> tuple[str, ...]:
    """Reasons without repeats, in order."""
    return tuple(dict.fromkeys(reasons))
