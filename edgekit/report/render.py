"""The public function: read results, write them as a page, a document or a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from edgekit.checked import CheckRow
from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Gain
from edgekit.files import write_text, writing
from edgekit.kit import Kit
from edgekit.recommendation import recommend
from edgekit.report.collect import Summary, summarise
from edgekit.report.csv_ import to_csv
from edgekit.report.documents import Document
from edgekit.report.history import History, history_of
from edgekit.report.html import to_html
from edgekit.report.kept import Kept, decode, kept_results
from edgekit.report.markdown import to_markdown
from edgekit.results import BenchResult, CheckResult, Result, RunResult, SensitivityResult, SensitivityRow
from edgekit.types import Verdict, worst

_WRITERS: Mapping[str, Callable[[Sequence[Summary]], str]] = {".html": to_html, ".md": to_markdown, ".csv": to_csv}


@dataclass(frozen=True, slots=True)
class ReportResult(Result):
    """What `edgekit.report` returns.

    Attributes:
        ok: always true: a report about a failure is a report.
        verdict: the worst of all results.
        output: the file that was written; None when none was asked for.
        summaries: one per kit.
    """

    schema: ClassVar[str] = "edgekit.report/1"
    ok: bool
    verdict: Verdict
    inputs: tuple[str, ...]
    output: str | None
    summaries: tuple[Summary, ...]


def report(inputs: str | Path | Sequence[str | Path], output: str | Path | None = None) -> ReportResult:
    """Bring results together and write them down.

    Args:
        inputs: kit folders (every check, and the newest result of each other command) and result files, as ``--json``
            prints.
        output: ``.html``, ``.md`` or ``.csv`` file to write; None to only return the summaries.

    Returns:
        The summaries, and where they were written.

    Raises:
        UsageError: an input is no kit or result, or the output has another suffix.
    """
    paths = [Path(item) for item in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    if not paths:
        raise UsageError("no-input", "there is nothing to report on.", hint="Give a kit folder or result files.")
    target = None if output is None else Path(output)
    writer = None if target is None else _writer(target)
    summaries = _summaries(paths)
    if target is not None and writer is not None:
        with writing(target):
            write_text(target, writer(summaries))
    return ReportResult(
        ok=True,
        verdict=worst(summary.verdict for summary in summaries),
        inputs=tuple(map(str, paths)),
        output=None if target is None else str(target),
        summaries=summaries,
    )


def _summaries(paths: Sequence[Path]) -> tuple[Summary, ...]:
    """One per kit, with its history and the results that it keeps and that cannot be read.

    Raises:
        UsageError: no such path, no results, or not a result of edgekit.
    """
    documents: list[Document] = []
    histories: dict[str | None, tuple[History, str | None]] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(
                "no-such-file", "there is no such kit or result.", received=str(path), hint="Check the path."
            )
        if path.is_file():
            documents.append(decode(path))
            continue
        kit = Kit.open(path)
        kept = kept_results(kit)
        documents += _newest(kit, kept)
        histories[str(kit.folder)] = history_of(kept.results), kept.note
    return tuple(
        _with_history(summary, *histories.get(summary.kit, (History(), None))) for summary in summarise(documents)
    )


def _with_history(summary: Summary, history: History, note: str | None) -> Summary:
    notes = summary.notes if note is None else (*summary.notes, note)
    return replace(summary, history=history, notes=notes)


def _newest(kit: Kit, kept: Kept) -> list[Document]:
    """Of a kit the newest result of each command, and every check: one of some artifacts says nothing of the others.

    Raises:
        UsageError: it holds none that can be read.
    """
    newest = {stored.command: stored for stored in kept.results}  # oldest first, so the last of each command stays
    if not newest:
        raise UsageError(
            "no-results",
            kept.note or "this kit holds no results.",
            received=str(kit.folder),
            hint=f"Make some: edgekit check {kit.folder}",
        )
    chosen = [one for one in kept.results if one is newest[one.command] or one.command == "check"]
    return [_of_kit(one.document, kit) for one in chosen]


def _of_kit(document: Document, kit: Kit) -> Document:
    """The result without what it says about artifacts that the kit no longer holds."""
    current = tuple(artifact.path for artifact in kit.artifacts)
    folder = str(kit.folder)

    def held(rows: tuple[CheckRow | BenchRow | SensitivityRow | Gain, ...]) -> tuple[Any, ...]:
        return tuple(row for row in rows if row.artifact.endswith(current) or _is_source(row, kit))

    if isinstance(document, CheckResult):
        return replace(document, kit=folder, results=held(document.results))
    if isinstance(document, BenchResult):
        results = held(document.results)
        sources = {row.name for row in results if row.way is not None}
        gains = tuple(gain for gain in held(document.gains) if gain.over in sources)
        return replace(document, kit=folder, results=results, gains=gains)
    if isinstance(document, SensitivityResult):
        return replace(document, kit=folder, results=held(document.results))
    artifacts = tuple(row for row in document.artifacts if row.path is None or row.path.endswith(current))
    if isinstance(document, RunResult):
        checks, latency = held(document.checks), held(document.latency)
        advice = document.recommendation
        if advice.path is not None and not advice.path.endswith(current):  # the kit holds another artifact by now
            advice = recommend(artifacts, checks, latency)
        return replace(document, kit=folder, artifacts=artifacts, checks=checks, latency=latency, recommendation=advice)
    return replace(document, kit=folder, artifacts=artifacts)


def _is_source(row: object, kit: Kit) -> bool:
    """Whether a timing is of what the kit was made from."""
    return isinstance(row, BenchRow) and row.way is not None and row.sha256 == kit.manifest.source.sha256


def _writer(target: Path) -> Callable[[Sequence[Summary]], str]:
    if target.suffix not in _WRITERS:
        raise UsageError(
            "unknown-report-format",
            f"a report cannot be written as {target.suffix or 'a file without a suffix'}.",
            received=str(target),
            hint=f"Choose a file name that ends in one of: {', '.join(_WRITERS)}.",
        )
    if not target.absolute().parent.is_dir():
        raise UsageError(
            "no-such-folder",
            "the folder of the report does not exist.",
            received=str(target),
            hint=f"mkdir -p {target.parent}",
        )
    return _WRITERS[target.suffix]
