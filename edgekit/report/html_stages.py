"""Stages and history on the page: a row of boxes per artifact, and a small curve per series of checks or timings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from edgekit.checked import CheckRow, StageParity
from edgekit.report import layers, stages, svg_history, text
from edgekit.report.history import CheckTrend, TimingTrend


def boxes(checks: Sequence[CheckRow]) -> str:
    """One row per artifact, from its source on."""
    return f'<dl class="ways">{"".join(_row(check) for check in checks)}</dl>'


def curves(trends: Sequence[CheckTrend]) -> str:
    """One row per series of checks: what was checked, the curve, and what it says."""
    drawn = [(trend.name, svg_history.curve(trend), trend.sentence) for trend in trends]
    return _series("SQNR of the worst output", "Checks", drawn)


def times(trends: Sequence[TimingTrend]) -> str:
    """One row per series of timings."""
    drawn = [(trend.name, svg_history.times(trend), trend.sentence) for trend in trends]
    return _series("p50, lower is faster", "Timings", drawn)


def _series(figure: str, what: str, drawn: Sequence[tuple[str, str, str]]) -> str:
    rows = "".join(
        f'<tr><td class="name">{escape(name)}</td><td class="curve">{curve}</td>'
        f'<td class="long">{escape(sentence)}</td></tr>'
        for name, curve, sentence in drawn
    )
    head = f'<tr><th class="name">Artifact</th><th>{figure}</th><th class="long">{what}</th></tr>'
    return f'<div class="scroll"><table>\n{head}\n{rows}\n</table></div>' if drawn else ""


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
