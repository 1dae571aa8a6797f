"""Stages and their history on the page: a row of boxes per artifact, and a small curve per series of checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from edgekit.checked import CheckRow, StageParity
from edgekit.report import layers, stages, svg_history, text
from edgekit.report.history import Trend


def boxes(checks: Sequence[CheckRow]) -> str:
    """One row per artifact, from its source on."""
    return f'<dl class="ways">{"".join(_row(check) for check in checks)}</dl>'


def curves(trends: Sequence[Trend]) -> str:
    """One row per series: what was checked, the curve, and what it says."""
    rows = "".join(
        f'<tr><td class="name">{escape(trend.name)}</td><td class="curve">{svg_history.curve(trend)}</td>'
        f'<td class="long">{escape(trend.sentence)}</td></tr>'
        for trend in trends
    )
    head = '<tr><th class="name">Artifact</th><th>SQNR of the worst output</th><th class="long">Checks</th></tr>'
    return f'<div class="scroll"><table>\n{head}\n{rows}\n</table></div>' if trends else ""


def _row(check: CheckRow) -> str:
    found = "".join(_boxes(check))
    return f'<dt>{escape(layers.name(check))}</dt><dd><ol class="stages"><li><b>source</b></li>{found}</ol></dd>'


def _boxes(check: CheckRow) -> Iterator[str]:
    broken = stages.first_broken(check)
    for place, stage in enumerate(check.stages):
        first = place == broken
        kind = " broken" if first else ""
        title = escape(" ".join(stage.reasons))
        more = "<em>first to break</em>" if first else f"<small>{escape(_whole(stage, place))}</small>"
        yield (
            f'<li class="{stage.verdict}{kind}" title="{title}"><b>{escape(stages.name(stage))}</b> '
            f"<span>{escape(stages.sqnr(stage))}</span>{more}</li>"
        )


def _whole(stage: StageParity, place: int) -> str:
    """Beside the source, where that says more than beside the parent."""
    if place == 0 or stage.against_source is None:
        return ""
    return f"{text.sqnr(stage.against_source)} from the source"
