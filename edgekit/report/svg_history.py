"""A series of checks as a small curve."""

from __future__ import annotations

from html import escape

from edgekit.report.history import Trend

#: The drawing, and the room around the curve.
_WIDTH, _HEIGHT, _EDGE = 240, 56, 8

#: The least span of the axis in decibel, so that noise is no mountain.
_LEAST_DB = 6.0

#: Share of the height at which an equal one lies: over all others.
_EQUAL = 1.1


def curve(trend: Trend) -> str:
    """SQNR from the oldest check to the newest, evenly spaced; a failed one is marked, an equal one lies on top."""
    known = [one.sqnr_db for one in trend.moments if one.sqnr_db is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    middle, span = (low + high) / 2, max(high - low, _LEAST_DB)
    step = (_WIDTH - 2 * _EDGE) / max(len(trend.moments) - 1, 1)
    places = []
    for index, one in enumerate(trend.moments):
        share = _EQUAL if one.equal else 1 - _EQUAL if one.sqnr_db is None else 0.5 + (one.sqnr_db - middle) / span
        places.append((_EDGE + step * index, _HEIGHT - _EDGE - share * (_HEIGHT - 2 * _EDGE)))
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle class="point {"no" if one.verdict in ("failed", "error") else "yes"}" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="3.2"><title>{escape(_words(trend, index))}</title></circle>'
        for index, (one, (x, y)) in enumerate(zip(trend.moments, places, strict=True))
    )
    return (
        f'<svg class="small" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(trend.name)}">'
        f'<path class="sqnr" d="M{path}"/>{dots}</svg>'
    )


def _words(trend: Trend, index: int) -> str:
    one = trend.moments[index]
    figure = "equal" if one.equal else "no figure" if one.sqnr_db is None else f"{one.sqnr_db:.1f} dB"
    before = trend.moments[index - 1].sha256 if index else one.sha256
    again = ", made again" if one.sha256 != before else ""
    return f"{one.at[:16].replace('T', ' ')} UTC: {figure}, {one.verdict}{again}"
