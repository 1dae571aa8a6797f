"""Joins results into one line per artifact: what was made, how it was checked, how fast it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.checked import Accuracy, CheckRow, OutputParity
from edgekit.figures import (
    ArtifactResult,
    BenchRow,
    Comparison,
    Gain,
    Pays,
    Quantization,
    Recommendation,
    SourceSummary,
)
from edgekit.report.documents import Document
from edgekit.report.history import History
from edgekit.report.text import MEANING, where
from edgekit.results import (
    BenchResult,
    CheckResult,
    ExportResult,
    QuantizeResult,
    RunResult,
    SensitivityResult,
    SensitivityRow,
    unique,
)
from edgekit.types import Evidence, Verdict, worst


@dataclass(frozen=True, slots=True)
class Line:
    """Everything known about one artifact.

    Attributes:
        made: how it was made; None where only checks or timings were given.
        checks: one per runtime and device.
        timings: one per runtime, device and setting.
    """

    target: str
    precision: str
    made: ArtifactResult | None
    checks: tuple[CheckRow, ...]
    timings: tuple[BenchRow, ...]

    @property
    def name(self) -> str:
        return f"{self.target} {self.precision}"

    @property
    def verdict(self) -> Verdict:
        """Of how it was made and checked; a noisy timing says nothing about that."""
        correctness = [part.verdict for part in self._parts() if not isinstance(part, BenchRow)]
        return worst(correctness or [row.verdict for row in self.timings])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason once."""
        return unique(reason for _, reason in self.told)

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What each reason is about, and the reason; the device is named where it is not this machine's CPU."""
        of_parity = self.made.parity.reasons if self.made is not None and self.made.parity is not None else ()
        found = [(self.name, reason) for reason in of_parity]
        for part in self._parts():
            label = self.name if isinstance(part, ArtifactResult) else where(self.name, part)
            found += [(label, reason) for reason in part.reasons]
        return tuple(dict.fromkeys(found))

    @property
    def size_bytes(self) -> int | None:
        if self.made is not None and self.made.size_bytes is not None:
            return self.made.size_bytes
        return self.timings[0].size_bytes if self.timings else None

    @property
    def worst_output(self) -> OutputParity | None:
        """The output that differs most from the source; an exactly equal one only where all are."""
        parity = self.made.parity if self.made is not None else None
        outputs = parity.outputs if parity is not None else [out for check in self.checks for out in check.outputs]
        return min(outputs, key=lambda out: float("inf") if out.sqnr_db is None else out.sqnr_db, default=None)

    @property
    def agreement(self) -> float | None:
        """The lowest top-1 agreement of any output that has one."""
        parity = self.made.parity if self.made is not None else None
        outputs = parity.outputs if parity is not None else [out for check in self.checks for out in check.outputs]
        return min((out.top1_agreement for out in outputs if out.top1_agreement is not None), default=None)

    @property
    def accuracy(self) -> Accuracy | None:
        made = [self.made.accuracy] if self.made is not None else []
        return next((found for found in [*made, *(check.accuracy for check in self.checks)] if found is not None), None)

    @property
    def quantization(self) -> Quantization | None:
        return self.made.quantization if self.made is not None else None

    @property
    def timing(self) -> BenchRow | None:
        """The one that tables show: on a real CPU, and of one inference after another, where there is such a timing."""
        timed = [row for row in self.timings if row.latency_ms is not None]
        return min(timed, key=lambda row: (row.emulated, row.scenario != "latency"), default=None)

    @property
    def pays(self) -> tuple[Pays, ...]:
        """One answer per device and accelerator; single inferences decide where several scenarios were timed."""
        made = self.made.pays if self.made is not None else ()
        timed = sorted(self.timings, key=lambda row: row.scenario == "latency")
        found = [*made, *(pays for row in timed for pays in row.pays)]
        return tuple({(pays.device, pays.accelerator): pays for pays in found}.values())

    def _parts(self) -> Iterator[ArtifactResult | CheckRow | BenchRow]:
        if self.made is not None:
            yield self.made
        yield from self.checks
        yield from self.timings


@dataclass(frozen=True, slots=True)
class Summary:
    """The results of one source.

    Attributes:
        verdict: that of the command, or the worst of all where there were several.
        title: the source's path, or the kit's, or ``results``.
        kit: folder; None for results of loose files.
        evidence: what the verdicts rest on, by the command that gave them.
        environment: of the newest timing.
        measured_at: of the newest run or timing, UTC.
        lines: one per artifact, in the order in which they were made.
        sensitivity: the operators of each fp32 artifact that was ranked.
        history: earlier checks and timings of the same artifacts.
        sources: the source itself, timed in its own framework.
        gains: each artifact beside each way to run its source.
        notes: warnings of the commands and what this report leaves out.
        against: what a single check compared with.
        stored: whether the kit keeps all of this.
    """

    title: str
    kit: str | None
    verdict: Verdict
    source: SourceSummary | None
    recommendation: Recommendation | None
    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    evidence: dict[str, Evidence]
    environment: dict[str, str]
    measured_at: str | None
    notes: tuple[str, ...]
    sensitivity: tuple[SensitivityRow, ...] = ()
    history: History = field(default_factory=History)
    sources: tuple[BenchRow, ...] = ()
    gains: tuple[Gain, ...] = ()
    against: str | None = None
    stored: bool = True

    @property
    def meaning(self) -> str:
        """Why the verdict is what it is, in half a sentence."""
        if self.sensitivity and not self.lines and self.verdict == "verified":
            return "each operator that is listed was quantized alone, and ran"
        doubtful = [row for row in self.timings if row.verdict == "weak"]
        if (
            self.verdict == "weak"
            and self.lines
            and all(line.verdict == "verified" for line in self.lines)
            and doubtful
        ):
            are = "is" if len(doubtful) == 1 else "are"
            return f"every artifact is verified, but {len(doubtful)} of {len(self.timings)} timings {are} weak"
        return MEANING[self.verdict]

    def size_ratio(self, line: Line) -> float | None:
        """How many times smaller an artifact is than the float one of its target."""
        measured = next((pays.size_ratio for pays in line.pays if pays.size_ratio is not None), None)
        whole = next((one.size_bytes for one in self.lines if one.name == f"{line.target} fp32"), None)
        if measured is not None or line.precision == "fp32" or not whole or not line.size_bytes:
            return measured
        return whole / line.size_bytes

    @property
    def timings(self) -> tuple[BenchRow, ...]:
        return (*(row for line in self.lines for row in line.timings), *self.sources)


def summarise(documents: Sequence[Document]) -> tuple[Summary, ...]:
    """One summary per kit, in the order of appearance.

    Args:
        documents: oldest first: what a later one says about an artifact replaces what an earlier one said.
    """
    kits: dict[str | None, list[Document]] = {}
    for document in documents:
        kits.setdefault(document.kit, []).append(document)
    return tuple(_summary(kit, found) for kit, found in kits.items())


def _summary(kit: str | None, documents: Sequence[Document]) -> Summary:
    sources = [document.source for document in documents if isinstance(document, ExportResult | RunResult)]
    source = sources[-1] if sources else None
    made = {(row.target, row.precision): row for document in documents for row in _artifacts(document)}
    checks = _newest(row for document in documents for row in _checks(document))
    timings = {_setting(row): row for document in documents for row in _timings(document)}
    run_by_framework = tuple(row for row in timings.values() if row.way is not None)
    rows: list[CheckRow | BenchRow] = [*checks.values(), *(row for row in timings.values() if row.way is None)]
    stale = [row for row in rows if not _current(row, made.get((row.target, row.precision)))]
    lines = _lines(made, [row for row in rows if row not in stale])
    newest = max(timings.values(), key=lambda row: row.measured_at, default=None)
    run = next((document for document in reversed(documents) if isinstance(document, RunResult)), None)
    notes = [note for document in documents for note in getattr(document, "warnings", ())]
    if stale:
        notes.append(
            f"{len(stale)} older checks or timings belong to artifacts that have been replaced; they are left out."
        )
    ranked = {
        (row.artifact, row.precision): row
        for document in documents
        if isinstance(document, SensitivityResult)
        for row in document.results
    }
    notes += [f"{row.target} {row.precision}: {reason}" for row in ranked.values() for reason in row.reasons]
    comparisons = [row for document in documents if isinstance(document, BenchResult) for row in document.comparisons]
    against = documents[0].against if len(documents) == 1 and isinstance(documents[0], CheckResult) else None
    return Summary(
        title=source.path if source is not None else kit or _file(documents) or "results",
        kit=kit,
        verdict=documents[0].verdict
        if len(documents) == 1
        else worst([*_verdicts(lines), *(row.verdict for row in run_by_framework)]),
        source=source,
        recommendation=run.recommendation if run is not None else None,
        lines=lines,
        comparisons=tuple(comparisons),
        evidence={
            document.schema.removeprefix("edgekit.").partition("/")[0]: document.evidence for document in documents
        },
        environment=newest.environment if newest is not None else {},
        measured_at=newest.measured_at if newest is not None else run.measured_at if run is not None else None,
        notes=unique(notes),
        sensitivity=tuple(ranked.values()),
        sources=run_by_framework,
        gains=tuple(gain for document in documents if isinstance(document, BenchResult) for gain in document.gains),
        against=against,
        stored=kit is not None and all(document.stored for document in documents if isinstance(document, CheckResult)),
    )


def _file(documents: Sequence[Document]) -> str | None:
    """The file that results outside a kit are about; None where there are several. An artifact goes before a source."""
    checks = {row.artifact for document in documents for row in _checks(document)}
    timings = [row for document in documents for row in _timings(document)]
    found = checks | {row.artifact for row in timings if row.way is None} or {row.artifact for row in timings}
    return found.pop() if len(found) == 1 else None


def _newest(rows: Iterable[CheckRow]) -> dict[tuple[str, ...], CheckRow]:
    """The last check of each artifact on each runtime and device, with the last accuracy that is known of it."""
    found: dict[tuple[str, ...], CheckRow] = {}
    for row in rows:
        key = row.sha256 or row.artifact, row.precision, row.runtime, row.device  # a path has several spellings
        known = found.get(key)
        found[key] = row
        if known is not None and row.sha256 is not None and row.accuracy is None:
            found[key] = replace(row, accuracy=known.accuracy)
    return found


def _verdicts(lines: Iterable[Line]) -> Iterator[Verdict]:
    for line in lines:
        yield line.verdict
        yield from (row.verdict for row in line.timings)


def _lines(made: dict[tuple[str, str], ArtifactResult], rows: Sequence[CheckRow | BenchRow]) -> tuple[Line, ...]:
    keys = dict.fromkeys([*made, *((row.target, row.precision) for row in rows)])
    return tuple(
        Line(
            *key,
            made.get(key),
            tuple(row for row in rows if isinstance(row, CheckRow) and (row.target, row.precision) == key),
            tuple(row for row in rows if isinstance(row, BenchRow) and (row.target, row.precision) == key),
        )
        for key in keys
    )


def _current(row: CheckRow | BenchRow, made: ArtifactResult | None) -> bool:
    """Whether a check or timing is of the artifact that the kit holds now.

    The folder's name carries the digest; where the kit lies may have changed between two commands.
    """
    if made is None or made.path is None or "/" not in row.artifact:
        return True
    return Path(row.artifact).parts[-2:] == Path(made.path).parts[-2:]


def _setting(row: BenchRow) -> tuple[object, ...]:
    what = row.sha256 or row.artifact, row.precision, row.runtime, row.way  # a path has several spellings
    return *what, row.device, row.threads, row.streams, row.batch, row.scenario, row.input_copy


def _artifacts(document: Document) -> tuple[ArtifactResult, ...]:
    return document.artifacts if isinstance(document, (ExportResult, QuantizeResult, RunResult)) else ()


def _checks(document: Document) -> tuple[CheckRow, ...]:
    if isinstance(document, RunResult):
        return document.checks
    if not isinstance(document, CheckResult):
        return ()
    return document.results if document.kit is not None else tuple(map(_of_a_file, document.results))


def _of_a_file(row: CheckRow) -> CheckRow:
    """A file of its own was not made from what it is compared with: it has layers, and no stages."""
    return replace(row, stages=(), blame=None if row.blame is None else replace(row.blame, stage=""))


def _timings(document: Document) -> tuple[BenchRow, ...]:
    if isinstance(document, RunResult):
        return document.latency
    return document.results if isinstance(document, BenchResult) else ()


def defaults(summary: Summary) -> tuple[str, ...]:
    """What engines would make of artifacts unless they were pinned, a sentence each."""
    checks = [check for line in summary.lines for check in line.checks]
    return unique(
        f"{check.target} {check.precision} {check.by_default.summary}"
        for check in checks
        if check.by_default is not None
    )


def commands(summary: Summary) -> tuple[str, ...]:
    """Shell commands that make the artifacts again by the same routes, and check and time them."""
    if summary.kit is None and summary.against is not None and len(summary.lines) == 1:
        return (f"edgekit check {shlex.quote(summary.title)} --against {shlex.quote(summary.against)}",)
    kit = shlex.quote(summary.kit) if summary.kit else "KIT"
    model = shlex.quote(summary.source.path) if summary.source is not None else "MODEL"
    found = []
    for line in summary.lines:
        if line.made is None or line.made.route is None:
            continue
        if line.precision == "fp32":
            route = shlex.quote(line.made.route)
            found.append(f"edgekit export {model} --target {line.target} --route {route} -o {kit}")
        else:
            found.append(_quantize_command(kit, line))
    ranked = dict.fromkeys((row.target, row.precision) for row in summary.sensitivity)
    found += [
        f"edgekit quantize {kit} --sensitivity --target {one[0]} --precision {one[1]} --data DATA" for one in ranked
    ]
    return (
        *dict.fromkeys(found),
        f"edgekit check {kit}",
        f"edgekit bench {kit}",
        f"edgekit report {kit} -o report.html",
    )


def _quantize_command(kit: str, line: Line) -> str:
    """The artifact itself is the recipe where its name does not hold all of it."""
    recipe = ""
    if line.quantization is not None and line.made is not None:
        whole = line.made.path if line.quantization.left_float else line.quantization.recipe
        recipe = f" --recipe {shlex.quote(str(whole))}"
    return f"edgekit quantize {kit} --target {line.target} --precision {line.precision}{recipe} --data DATA"


def noise_shares(row: SensitivityRow) -> tuple[float, ...]:
    """Part of the summed noise that each operator adds: noise of separate operators adds up in power."""
    powers = [0.0 if layer.sqnr_db is None else 10 ** (-layer.sqnr_db / 10) for layer in row.layers]
    total = sum(powers)
    return tuple(power / total if total else 0.0 for power in powers)
