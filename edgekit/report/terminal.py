"""Results as Rich renderables for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from edgekit.report import history, tables, text
from edgekit.report.collect import Summary, defaults, summarise
from edgekit.report.comparison import comparison_view
from edgekit.report.documents import Document
from edgekit.report.terminal_devices import devices_view
from edgekit.report.terminal_facts import doctor_view, inspection_view
from edgekit.report.terminal_layers import layers_view
from edgekit.report.terminal_parts import (
    grid,
    group,
    head,
    listed,
    notes,
    pays_list,
    plain,
    stages_list,
    titled,
    unmade,
)
from edgekit.report.terminal_prepare import prepare_view
from edgekit.report.terminal_profile import profiles_view
from edgekit.report.terminal_quantize import quantize_view, ranking, recipes, sensitivity_view
from edgekit.report.terminal_routes import routes_view
from edgekit.results import BenchResult, CheckResult, QuantizeResult, Result, RunResult, Runs, SensitivityResult

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgekit.prediction import Prediction
    from edgekit.report.render import ReportResult


def view(result: Result) -> RenderableType:
    """What the terminal shows for any result of edgekit."""
    return VIEWS[result.schema](result)


def _whole(summary: Summary) -> Iterator[RenderableType]:
    yield head(summary)
    if summary.lines:
        yield grid(tables.artifacts(summary))
    yield from stages_list(summary)
    yield from layers_view(summary)
    yield from profiles_view(summary)
    yield from pays_list(summary)
    if summary.gains:
        yield plain(text.gain_sentence(summary.gains))
    yield from recipes(summary, tried=False)
    for row in summary.sensitivity:
        yield from ranking(row)
    for title, trends in history.listed(summary.history):
        yield listed(title, trends)
    yield from unmade(summary)
    yield from notes(summary)
    if summary.recommendation is not None:
        yield _recommendation(summary)


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
    yield grid(tables.timings(summary))
    yield grid(tables.openings(summary))
    if summary.gains:
        yield from titled("What deployment gains", tables.gains(summary))
        yield plain(text.gain_sentence(summary.gains))
    yield from pays_list(summary)
    if summary.comparisons:
        yield grid(tables.comparisons(summary))
    yield from profiles_view(summary)


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
        yield listed("Routes", accepted)
    if passed:
        yield listed("Routes that held too", passed)
    if refused:
        yield listed("Routes that did not hold", refused)
    yield from unmade(summary)


def _one(result: Document) -> Summary:
    (summary,) = summarise([result])
    return summary


def _made_view(result: Document) -> RenderableType:
    summary = _one(result)
    parts = [head(summary), grid(tables.artifacts(summary)), *pays_list(summary), *_routes(summary), *notes(summary)]
    return group(parts)


def _quantize_view(result: QuantizeResult) -> RenderableType:
    return quantize_view(_one(result))


def _sensitivity_view(result: SensitivityResult) -> RenderableType:
    return sensitivity_view(_one(result))


def _check_view(result: CheckResult) -> RenderableType:
    summary = _one(result)
    parts = [
        head(summary),
        grid(tables.checks(summary)),
        *([plain("\n".join(found), "dim")] if (found := defaults(summary)) else []),
        *stages_list(summary),
        *layers_view(summary),
    ]
    return group([*parts, *notes(summary)])


def _bench_view(result: BenchResult) -> RenderableType:
    summary = _one(result)
    return group([head(summary), *_speed(summary), *notes(summary)])


def _run_view(result: RunResult) -> RenderableType:
    stored = [plain(f"Stored result, measured {text.age(result.measured_at)}; --fresh measures again.")]
    page = [plain(f"Report: {result.report}")] if result.report else []
    return group([*_whole(_one(result)), *(stored if result.cached else []), *page])


def _runs_view(result: Runs) -> RenderableType:
    return group([part for run in result.runs for part in (_run_view(run), plain(""))])


def _report_view(result: ReportResult) -> RenderableType:
    parts = [part for summary in result.summaries for part in _whole(summary)]
    return group([*parts, *([plain(f"Report: {result.output}")] if result.output else [])])


def _prediction_view(result: Prediction) -> RenderableType:
    ran = f"{result.runtime}, {text.reading(result.effective.precision)} on {text.reading(result.effective.placement)}"
    outputs = ", ".join(result.outputs)
    return plain(
        f"{text.count(result.samples, 'sample')} through {result.artifact} ({ran}).\n{result.output}: {outputs}"
    )


#: How each kind of result is shown, by its schema.
VIEWS: dict[str, Callable[[Any], RenderableType]] = {
    "edgekit.bench/1": _bench_view,
    "edgekit.check/1": _check_view,
    "edgekit.compare/1": comparison_view,
    "edgekit.devices/1": devices_view,
    "edgekit.doctor/1": doctor_view,
    "edgekit.export/1": _made_view,
    "edgekit.inspect/1": inspection_view,
    "edgekit.predict/1": _prediction_view,
    "edgekit.prepare/1": prepare_view,
    "edgekit.quantize/1": _quantize_view,
    "edgekit.report/1": _report_view,
    "edgekit.routes/1": routes_view,
    "edgekit.run/1": _run_view,
    "edgekit.runs/1": _runs_view,
    "edgekit.sensitivity/1": _sensitivity_view,
}
