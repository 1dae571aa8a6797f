"""The public function: read results, write them as a page, a document or a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from edgekit.checked import CheckRow
from edgekit.errors import InternalError, UsageError
from edgekit.figures import BenchRow
from edgekit.files import write_text, writing
from edgekit.jobs.codec import from_json
from edgekit.kit import Kit
from edgekit.recommendation import recommend
from edgekit.report.collect import DOCUMENTS, Document, Summary, summarise
from edgekit.report.csv_ import to_csv
from edgekit.report.history import history_of
from edgekit.report.html import to_html
from edgekit.report.markdown import to_markdown
from edgekit.results import BenchResult, CheckResult, Result, RunResult, SensitivityResult, SensitivityRow
from edgekit.types import Verdict, worst

_BY_SCHEMA: dict[str, type[Document]] = {kind.schema: kind for kind in DOCUMENTS}

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
    kits = [Kit.open(path) for path in paths if path.is_dir()]
    histories = {str(kit.folder): history_of(kit) for kit in kits}
    summaries = summarise([document for path in paths for document in read(path)], histories)
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


def read(path: Path) -> tuple[Document, ...]:
    """The results in a kit folder or in one file, oldest first.

    Of a kit the newest result of each command, and every check: one of some artifacts says nothing of the others.

    Raises:
        UsageError: no such path, no results, or not a result of edgekit.
    """
    if not path.exists():
        raise UsageError("no-such-file", "there is no such kit or result.", received=str(path), hint="Check the path.")
    if path.is_file():
        return (_decode(path),)
    kit = Kit.open(path)
    names = kit.manifest.results
    newest = {name.partition("-")[0]: name for name in names}  # oldest first, so the last of each command stays
    if not newest:
        raise UsageError(
            "no-results", "this kit holds no results.", received=str(path), hint=f"Make some: edgekit check {path}"
        )
    found = []
    for name in names:
        if name in newest.values():
            found.append(_of_kit(_decode(path / "results" / name), kit))
        elif name.startswith("check-"):
            with suppress(UsageError):  # of another version of edgekit, or edited by hand
                found.append(_of_kit(_decode(path / "results" / name), kit))
    return tuple(found)


def _decode(path: Path) -> Document:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as err:
        raise UsageError(
            "not-a-result",
            f"{path.name} cannot be read as JSON.",
            received=str(path),
            hint="Give a file that a command with --json printed.",
        ) from err
    schema = data.pop("schema", None) if isinstance(data, dict) else None
    if schema not in _BY_SCHEMA:
        raise UsageError(
            "unknown-schema",
            f"{path.name} is no result that a report can show.",
            received=f"schema {schema}",
            hint=f"Give a result of one of: {', '.join(sorted(_BY_SCHEMA))}.",
        )
    try:
        return from_json(_BY_SCHEMA[schema], data)
    except InternalError as err:
        raise UsageError(
            "unreadable-result", f"{path.name}: {err.message}", received=err.received, hint=err.hint
        ) from err


def _of_kit(document: Document, kit: Kit) -> Document:
    """The result without what it says about artifacts that the kit no longer holds."""
    current = tuple(artifact.path for artifact in kit.artifacts)
    folder = str(kit.folder)

    def held(rows: tuple[CheckRow | BenchRow | SensitivityRow, ...]) -> tuple[Any, ...]:
        return tuple(row for row in rows if row.artifact.endswith(current))

    if isinstance(document, CheckResult):
        return replace(document, kit=folder, results=held(document.results))
    if isinstance(document, BenchResult):
        return replace(document, kit=folder, results=held(document.results))
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
