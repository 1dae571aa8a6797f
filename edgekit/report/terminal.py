"""Results as Rich renderables for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from edgekit.report import tables, text
from edgekit.report.collect import Document, Summary, reasons_by_text, summarise
from edgekit.report.terminal_facts import doctor_view, inspection_view
from edgekit.report.terminal_routes import routes_view
from edgekit.results import BenchResult, CheckResult, Result, RunResult, Runs
from edgekit.types import Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from edgekit.prediction import Prediction
    from edgekit.report.render import ReportResult

_STYLE: dict[str, str] = {"verified": "green", "weak": "yellow", "failed": "bold red", "error": "bold magenta"}


#: Columns that may take several lines on a narrow terminal.
_WRAPS = frozenset({"Artifact", "Runtime", "Device", "Output", "Route", "Reason", "Note", "Answer", "At fault"})


def view(result: Result) -> RenderableType:
    """What the terminal shows for any result of edgekit."""
    return VIEWS[result.schema](result)


def verdict_text(verdict: Verdict) -> Text:
    """The word in its colour."""
    from rich.text import Text

    return Text(verdict, style=_STYLE[verdict])


def _whole(summary: Summary) -> Iterator[RenderableType]:
    yield _head(summary)
    yield _grid(tables.artifacts(summary))
    yield from _pays(summary)
    yield from _unmade(summary)
    yield from _notes(summary)
    if summary.recommendation is not None:
        yield _recommendation(summary)


def _head(summary: Summary) -> RenderableType:
    from rich.text import Text

    line = Text.assemble((summary.title, "bold"), "  ", verdict_text(summary.verdict), f": {summary.meaning}")
    return Text.assemble(line, "\n", ("; ".join(text.judged_on(summary.evidence)), "dim"))


def _recommendation(summary: Summary) -> RenderableType:
    from rich.panel import Panel
    from rich.text import Text

    found = summary.recommendation
    assert found is not None
    name = (found.artifact, "bold") if found.artifact else ("No artifact can be recommended", "bold")
    path = f"\n{found.path}" if found.path else ""
    style = "green" if found.artifact else "yellow"
    body = Text.assemble(name, "\n", found.reason, (path, "dim"))
    return Panel(body, title="recommendation", title_align="left", border_style=style, expand=False)


def _speed(summary: Summary) -> Iterator[RenderableType]:
    yield _grid(tables.timings(summary))
    yield _grid(tables.openings(summary))
    yield from _pays(summary)
    if summary.comparisons:
        yield _grid(tables.comparisons(summary))


def _pays(summary: Summary) -> Iterator[RenderableType]:
    sentences = [text.pays_sentence(line.name, pays) for line in summary.lines for pays in line.pays]
    if sentences:
        yield _list("Does quantization pay?", sentences)


def _routes(summary: Summary) -> Iterator[RenderableType]:
    made = [line.made for line in summary.lines if line.made is not None]
    accepted = [f"{row.name}: {text.route_sentence(row)}" for row in made if row.route is not None]
    refused = [
        f"{row.name}: {text.attempt_sentence(attempt)}"
        for row in made
        for attempt in row.attempts
        if row.route is not None and attempt.outcome != "accepted"
    ]
    passed = [
        f"{row.name}: {attempt.route}: {attempt.reason}"
        for row in made
        for attempt in row.attempts
        if attempt.outcome == "accepted" and attempt.route != row.route
    ]
    if accepted:
        yield _list("Routes", accepted)
    if passed:
        yield _list("Routes that held too", passed)
    if refused:
        yield _list("Routes that did not hold", refused)
    yield from _unmade(summary)


def _unmade(summary: Summary) -> Iterator[RenderableType]:
    """Every route to an artifact that none made: what failed, and why."""
    from rich.padding import Padding
    from rich.text import Text

    for line in summary.lines:
        if line.made is not None and line.made.route is None and line.made.attempts:
            yield Text(f"No route made {line.name}", style="bold")
            yield Padding(_grid(tables.unmade(line.made)), (0, 0, 0, 1))


def _notes(summary: Summary) -> Iterator[RenderableType]:
    told = {text.attempt_sentence(attempt) for line in summary.lines if line.made for attempt in line.made.attempts}
    reasons = [
        f"{', '.join(names)}: {reason}"
        for reason, names in reasons_by_text(summary.lines).items()
        if reason not in told  # the table of routes says it
    ]
    if reasons or summary.notes:
        yield _list("Reasons and notes", [*reasons, *summary.notes])


def _grid(table: tables.Table) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
    for index, name in enumerate(table.header):
        right = index >= table.figures
        longest = max((len(row[index]) for row in table.rows), default=0)
        words = max((len(word) for row in table.rows for word in row[index].split()), default=0)
        wraps = name in _WRAPS
        narrowest = min(words, 14) if wraps else max(longest, len(name))  # a figure is never cut short
        grid.add_column(name, justify="right" if right else "left", min_width=narrowest, overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(cell, style=_STYLE.get(cell, "")) for cell in row))
    return _group([grid, Text(table.common, style="dim")]) if table.common else grid


def _list(title: str, sentences: list[str]) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    for sentence in sentences:
        grid.add_row("-", Text(sentence))
    return _group([Text(title, style="bold"), Padding(grid, (0, 0, 1, 2))])


def _plain(line: str) -> RenderableType:
    from rich.text import Text

    return Text(line)


def _group(parts: list[Any]) -> RenderableType:
    from rich.console import Group

    return Group(*parts)


def _one(result: Document) -> Summary:
    (summary,) = summarise([result])
    return summary


def _made_view(result: Document) -> RenderableType:
    summary = _one(result)
    parts = [_head(summary), _grid(tables.artifacts(summary)), *_pays(summary), *_routes(summary), *_notes(summary)]
    return _group(parts)


def _check_view(result: CheckResult) -> RenderableType:
    summary = _one(result)
    return _group([_head(summary), _grid(tables.checks(summary)), *_notes(summary)])


def _bench_view(result: BenchResult) -> RenderableType:
    summary = _one(result)
    return _group([_head(summary), *_speed(summary), *_notes(summary)])


def _run_view(result: RunResult) -> RenderableType:
    stored = [_plain(f"Stored result, measured {text.age(result.measured_at)}; --fresh measures again.")]
    page = [_plain(f"Report: {result.report}")] if result.report else []
    return _group([*_whole(_one(result)), *(stored if result.cached else []), *page])


def _runs_view(result: Runs) -> RenderableType:
    return _group([part for run in result.runs for part in (_run_view(run), _plain(""))])


def _report_view(result: ReportResult) -> RenderableType:
    parts = [part for summary in result.summaries for part in _whole(summary)]
    return _group([*parts, *([_plain(f"Report: {result.output}")] if result.output else [])])


def _prediction_view(result: Prediction) -> RenderableType:
    ran = f"{result.runtime}, {text.reading(result.effective.precision)} on {text.reading(result.effective.placement)}"
    outputs = ", ".join(result.outputs)
    return _plain(
        f"{text.count(result.samples, 'sample')} through {result.artifact} ({ran}).\n{result.output}: {outputs}"
    )


#: How each kind of result is shown, by its schema.
VIEWS: dict[str, Callable[[Any], RenderableType]] = {
    "edgekit.bench/1": _bench_view,
    "edgekit.check/1": _check_view,
    "edgekit.doctor/1": doctor_view,
    "edgekit.export/1": _made_view,
    "edgekit.inspect/1": inspection_view,
    "edgekit.predict/1": _prediction_view,
    "edgekit.quantize/1": _made_view,
    "edgekit.report/1": _report_view,
    "edgekit.routes/1": routes_view,
    "edgekit.run/1": _run_view,
    "edgekit.runs/1": _runs_view,
}
