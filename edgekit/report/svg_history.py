"""A series of checks or timings as a small curve."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgekit.report.history import CheckTrend, Moment, Timing, TimingTrend

#: The drawing, and the room around the curve.
_WIDTH, _HEIGHT, _EDGE = 240, 56, 8

#: The least span of the axis in decibel, and as a share of p50, so that noise is no mountain.
_LEAST_DB, _LEAST_SHARE = 6.0, 0.1

#: Share of the height at which an equal one lies: over all others.
_EQUAL = 1.1


def curve(trend: CheckTrend) -> str:
    """SQNR from the oldest check to the newest, evenly spaced; a failed one is marked, an equal one lies on top."""
    known = [one.sqnr_db for one in trend.moments if one.sqnr_db is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    middle, span = (low + high) / 2, max(high - low, _LEAST_DB)
    shares = [
        _EQUAL if one.equal else 1 - _EQUAL if one.sqnr_db is None else 0.5 + (one.sqnr_db - middle) / span
        for one in trend.moments
    ]
    return _drawn(trend.name, trend.moments, shares, [()] * len(shares))


def times(trend: TimingTrend) -> str:
    """p50 with its interval from the oldest timing to the newest, evenly spaced: lower is faster.

    A failed one is marked on top; a weak one is grey.
    """
    known = [bound for one in trend.moments if one.p50_ms is not None for bound in (one.p50_ms, *one.ci95_p50)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    middle, span = (low + high) / 2, max(high - low, _LEAST_SHARE * (low + high) / 2)

    def share(value: float) -> float:
        return 0.5 + (value - middle) / span

    places = [_EQUAL if one.p50_ms is None else share(one.p50_ms) for one in trend.moments]
    return _drawn(trend.name, trend.moments, places, [tuple(map(share, one.ci95_p50)) for one in trend.moments])


def _drawn(
    name: str, moments: Sequence[Moment], shares: Sequence[float], intervals: Sequence[tuple[float, ...]]
) -> str:
    """Dots at shares of the height, joined, over whiskers where there are intervals."""
    step = (_WIDTH - 2 * _EDGE) / max(len(moments) - 1, 1)
    places = [(_EDGE + step * index, _height(share)) for index, share in enumerate(shares)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    whiskers = "".join(
        f'<path class="whisker" d="M{x:.1f} {_height(ends[0]):.1f}V{_height(ends[1]):.1f}"/>'
        for (x, _), ends in zip(places, intervals, strict=True)
        if ends
    )
    dots = "".join(
        f'<circle class="point {_kind(one)}" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="3.2"><title>{escape(_words(moments, index))}</title></circle>'
        for index, (one, (x, y)) in enumerate(zip(moments, places, strict=True))
    )
    return (
        f'<svg class="small" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(name)}">'
        f'<path class="sqnr" d="M{path}"/>{whiskers}{dots}</svg>'
    )


def _height(share: float) -> float:
    return _HEIGHT - _EDGE - share * (_HEIGHT - 2 * _EDGE)


def _kind(one: Moment) -> str:
    """A weak check is a right figure on few samples; the figure of a weak timing itself is in doubt."""
    if one.verdict in ("failed", "error"):
        return "no"
    return "unsure" if one.verdict == "weak" and isinstance(one, Timing) else "yes"


def _words(moments: Sequence[Moment], index: int) -> str:
    one = moments[index]
    again = ", made again" if index and moments[index - 1].sha256 != one.sha256 else ""
    return f"{one.at[:16].replace('T', ' ')} UTC: {one.figure}, {one.verdict}{again}"
