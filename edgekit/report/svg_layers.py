"""A chart of layers as inline SVG: SQNR in the order of execution, the gate, and the layer to blame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from edgekit.report.svg import WIDTH

#: Where the chart itself lies in the drawing.
_LEFT, _RIGHT, _TOP, _HEIGHT = 60, 24, 38, 220

#: Layers up to which every one has its name under the axis, and the characters of a name.
_MOST_NAMES, _NAME = 32, 18

#: Room under the axis, with names and with numbers.
_NAMES_HEIGHT, _NUMBERS_HEIGHT = 104, 44

#: Decibels at which the axis ends: more is rounding, and only squeezes the rest.
_MOST_DB = 160.0


@dataclass(frozen=True, slots=True)
class Point:
    """One layer.

    Attributes:
        name: of the layer.
        sqnr_db: infinity when equal; None for a layer without figures.
        added_db: SQNR of the layer alone; None where that is not known.
        kind: class of the style sheet: ``yes``, ``no`` or ``culprit``.
        words: what a pointer over the point shows.
    """

    name: str
    sqnr_db: float | None
    added_db: float | None
    kind: str
    words: str


def layers(points: Sequence[Point], gate: float, title: str) -> str:
    """Layers from left to right.

    Args:
        points: in the order of execution; at least one has an SQNR.
        gate: SQNR in dB that each has to reach.
        title: what screen readers say.
    """
    figures = [found for point in points for found in (point.sqnr_db, point.added_db) if found is not None]
    highest = min(_MOST_DB, max([gate, *(found for found in figures if found <= _MOST_DB)]) * 1.08)
    lowest = min(0.0, *figures)
    step = next(size for size in (5, 10, 20, 40, 80, 160) if (highest - lowest) / size <= 6)
    bottom = max(-_MOST_DB, step * (lowest // step))

    def y(decibel: float) -> float:
        inside = min(max(decibel, bottom), highest)
        return _TOP + _HEIGHT * (highest - inside) / (highest - bottom)

    room = (WIDTH - _LEFT - _RIGHT) / len(points)
    places = [_LEFT + room * (index + 0.5) for index in range(len(points))]
    named = len(points) <= _MOST_NAMES
    body = "".join(
        (
            _grid(y, bottom, highest, step),
            _culprit(points, places),
            _gate(y, gate),
            _line(points, places, y),
            *(_point(point, x, y) for point, x in zip(points, places, strict=True)),
            _names(points, places) if named else _numbers(places),
        )
    )
    height = _TOP + _HEIGHT + (_NAMES_HEIGHT if named else _NUMBERS_HEIGHT)
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f'<text class="axis" x="8" y="14">SQNR in dB; higher is better</text>{body}</svg></div>'
    )


def _grid(y: Callable[[float], float], bottom: float, highest: float, step: int) -> str:
    ticks = [bottom + step * index for index in range(int((highest - bottom) // step) + 1)]
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in ticks
    )


def _gate(y: Callable[[float], float], gate: float) -> str:
    return f'<line class="one" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(gate):.1f}" y2="{y(gate):.1f}"/>'


def _culprit(points: Sequence[Point], places: Sequence[float]) -> str:
    """A line through the layer to blame, with its name on the side that has room."""
    found = ""
    for point, x in zip(points, places, strict=True):
        if point.kind == "culprit":
            late = x > WIDTH / 2
            found += (
                f'<line class="culprit" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 20}" y2="{_TOP + _HEIGHT}"/>'
                f'<text class="culprit" x="{x + (-7 if late else 7):.1f}" y="{_TOP - 9}" '
                f'text-anchor="{"end" if late else "start"}">{escape(_end(point.name, 48))}</text>'
            )
    return found


def _line(points: Sequence[Point], places: Sequence[float], y: Callable[[float], float]) -> str:
    known = [(x, point.sqnr_db) for point, x in zip(points, places, strict=True) if point.sqnr_db is not None]
    path = "L".join(f"{x:.1f} {y(decibel):.1f}" for x, decibel in known)
    return f'<path class="sqnr" d="M{path}"/>' if known else ""


def _point(point: Point, x: float, y: Callable[[float], float]) -> str:
    words = f"<title>{escape(point.words)}</title>"
    added = (
        "" if point.added_db is None else f'<circle class="added" cx="{x:.1f}" cy="{y(point.added_db):.1f}" r="3.2"/>'
    )
    if point.sqnr_db is None:
        return f'<g>{words}<circle class="point unsure" cx="{x:.1f}" cy="{_TOP + _HEIGHT}" r="2"/></g>'
    radius = 3.2 if point.kind == "yes" else 4.5
    kind = "yes" if point.kind == "yes" else "no"
    dot = f'<circle class="point {kind}" cx="{x:.1f}" cy="{y(point.sqnr_db):.1f}" r="{radius}"/>'
    return f"<g>{words}{added}{dot}</g>"


def _names(points: Sequence[Point], places: Sequence[float]) -> str:
    top = _TOP + _HEIGHT + 14
    return "".join(
        f'<text class="tick" x="{x:.1f}" y="{top}" text-anchor="end" '
        f'transform="rotate(-50 {x:.1f} {top})">{escape(_end(point.name, _NAME))}</text>'
        for point, x in zip(points, places, strict=True)
    )


def _numbers(places: Sequence[float]) -> str:
    """Round numbers of layers, as the table counts them."""
    step = next(size for size in (5, 10, 20, 50, 100, 200, 500, 1000, 5000) if len(places) / size <= 14)
    bottom = _TOP + _HEIGHT
    marks = "".join(
        f'<text class="tick" x="{places[number - 1]:.1f}" y="{bottom + 18}" text-anchor="middle">{number}</text>'
        for number in (1, *range(step, len(places) + 1, step))
    )
    return f'{marks}<text class="axis" x="{_LEFT}" y="{bottom + 38}">number of the layer in the table</text>'


def _end(name: str, most: int) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"
