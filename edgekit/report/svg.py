"""Charts as inline SVG: bars with intervals, and ratios around one. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from edgekit.report.text import number

#: A chart is drawn on this width and scales with the page.
WIDTH = 880
_LABEL = 250
_VALUE = 150
_ROW = 34

#: The longest bar over the shortest from which a linear axis would hide the short ones.
LOG_FROM = 25.0


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of a chart.

    Attributes:
        label: what it is about.
        detail: smaller, under the label.
        value: in the unit of the axis.
        low, high: its interval; None where there is none.
        text: the figure as words, at the right.
        kind: class of the style sheet: ``float``, ``quantized``, ``yes``, ``no`` or ``unsure``.
    """

    label: str
    detail: str
    value: float
    low: float | None
    high: float | None
    text: str
    kind: str


def bars(marks: Sequence[Mark], axis: str, title: str, *, linear: bool = False) -> str:
    """Horizontal bars from zero, or from a power of ten on a logarithmic axis where they differ a lot.

    Args:
        marks: one bar each; values above zero, or at zero on a linear axis.
        axis: what the axis shows, such as ``p50 in milliseconds``.
        title: what screen readers say.
        linear: whether the axis starts at zero however much the bars differ.
    """
    highest = max(mark.high or mark.value for mark in marks)
    lowest = min(mark.low or mark.value for mark in marks)
    if not linear and highest / lowest > LOG_FROM:
        start = 10 ** math.floor(math.log10(lowest) - 0.1)
        ticks = _log_ticks(start, highest)
        scale = _log_scale(start, max(highest, ticks[-1]))
        axis = f"{axis}, logarithmic"
    else:
        ticks = _linear_ticks(highest)
        scale = _linear_scale(max(highest, ticks[-1]))
    body = [_bar(mark, index, scale) for index, mark in enumerate(marks)]
    return _chart(body, [(tick, scale(tick)) for tick in ticks], len(marks), axis, title)


def ratios(marks: Sequence[Mark], axis: str, title: str) -> str:
    """Points with intervals on a logarithmic axis around 1, where neither side wins."""
    reach = max(max(mark.high or mark.value, 1 / (mark.low or mark.value)) for mark in marks)
    reach = max(1.25, reach) * 1.05
    scale = _log_scale(1 / reach, reach)
    ticks = [
        tick
        for tick in (0.1, 0.2, 0.25, 0.33, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0)
        if 1 / reach <= tick <= reach
    ]
    if reach > 2.5:
        ticks = [tick for tick in ticks if tick not in (0.33, 0.75, 1.5, 3.0)]
    height = len(marks) * _ROW
    one = f'<line class="one" x1="{scale(1):.1f}" x2="{scale(1):.1f}" y1="0" y2="{height}"/>'
    body = [one, *(_point(mark, index, scale) for index, mark in enumerate(marks))]
    return _chart(body, [(tick, scale(tick)) for tick in ticks], len(marks), axis, title, suffix="×")


def _chart(
    body: Sequence[str], ticks: Sequence[tuple[float, float]], rows: int, axis: str, title: str, suffix: str = ""
) -> str:
    height = rows * _ROW
    grid = "".join(
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
        f'<text class="tick" x="{x:.1f}" y="{height + 16}" text-anchor="middle">{_tick(value)}{suffix}</text>'
        for value, x in ticks
    )
    caption = f'<text class="axis" x="{_LABEL}" y="{height + 36}">{escape(axis)}</text>'
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height + 44}" role="img" aria-label="{escape(title)}">'
        f"{grid}{''.join(body)}{caption}</svg></div>"
    )


def _bar(mark: Mark, index: int, scale: Callable[[float], float]) -> str:
    top = index * _ROW + 9
    end = scale(mark.value)
    return (
        f'<rect class="bar {mark.kind}" x="{_LABEL}" y="{top}" width="{max(end - _LABEL, 1):.1f}" height="16" rx="2"/>'
        f"{_whisker(mark, top + 8, scale)}{_texts(mark, top)}"
    )


def _point(mark: Mark, index: int, scale: Callable[[float], float]) -> str:
    top = index * _ROW + 9
    point = f'<circle class="point {mark.kind}" cx="{scale(mark.value):.1f}" cy="{top + 8}" r="5"/>'
    return f"{_whisker(mark, top + 8, scale)}{point}{_texts(mark, top)}"


def _whisker(mark: Mark, y: float, scale: Callable[[float], float]) -> str:
    if mark.low is None or mark.high is None:
        return ""
    low, high = scale(mark.low), scale(mark.high)
    return f'<path class="whisker" d="M{low:.1f} {y - 4}V{y + 4}M{low:.1f} {y}H{high:.1f}M{high:.1f} {y - 4}V{y + 4}"/>'


def _texts(mark: Mark, top: float) -> str:
    return (
        f'<text class="label" x="{_LABEL - 12}" y="{top + 5}" text-anchor="end">{escape(mark.label)}</text>'
        f'<text class="detail" x="{_LABEL - 12}" y="{top + 18}" text-anchor="end">{escape(mark.detail)}</text>'
        f'<text class="value" x="{WIDTH}" y="{top + 12}" text-anchor="end">{escape(mark.text)}</text>'
    )


def _linear_scale(highest: float) -> Callable[[float], float]:
    return lambda value: _LABEL + (WIDTH - _LABEL - _VALUE) * value / highest


def _log_scale(lowest: float, highest: float) -> Callable[[float], float]:
    """Values beyond the axis, such as an interval that reaches down to zero, end at its edge."""
    span = math.log(highest / lowest)
    return lambda value: _LABEL + (WIDTH - _LABEL - _VALUE) * math.log(min(max(value, lowest), highest) / lowest) / span


def _linear_ticks(highest: float) -> list[float]:
    """Zero and four to eight round steps, the last at or above the highest value."""
    raw = highest / 5
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
    return [step * index for index in range(math.ceil(highest / step) + 1)]


def _log_ticks(lowest: float, highest: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where few are needed."""
    first, last = round(math.log10(lowest)), math.ceil(math.log10(highest))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    end = next((index for index, tick in enumerate(ticks) if tick >= highest), len(ticks) - 1)
    return ticks[: end + 1]


def _tick(value: float) -> str:
    return f"{value:g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else number(value, 1)
