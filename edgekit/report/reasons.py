"""Why verdicts are what they are: every reason once, with what it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekit.report.collect import Summary

#: A figure in a sentence, with its sign and unit; the digits of a name, as in ``p50``, or of a version are none.
_FIGURE = re.compile(r"(?<![\w.])[-+±]?\d+(?:\.\d+)?%?(?![\w%]|\.\d)")


def reasons_by_text(summary: Summary) -> dict[str, tuple[str, ...]]:
    """Every reason once, with the artifacts and ways to run the source that it is about.

    On a noisy machine all timings have the same doubts, which differ in their figures alone: those are one sentence
    with the least and the greatest figure.
    """
    found: dict[str, list[str]] = {}
    for line in summary.lines:
        for label, reason in line.told:
            found.setdefault(reason, []).append(label)
    for one in summary.sources:
        for reason in one.reasons:
            found.setdefault(reason, []).append(one.name)
    timed = {reason for row in summary.timings for reason in row.reasons}
    alike: dict[str, list[str]] = {}
    for reason in found:
        alike.setdefault(_FIGURE.sub("#", reason) if reason in timed else reason, []).append(reason)
    return {
        spanned(reasons): tuple(dict.fromkeys(name for reason in reasons for name in found[reason]))
        for reasons in alike.values()
    }


def spanned(reasons: Sequence[str]) -> str:
    """Sentences that differ in figures alone as one: ``p50 drifted by -17% to +41% from …``."""
    figures = zip(*(_FIGURE.findall(reason) for reason in reasons), strict=True)
    spans = iter([_span(found) for found in figures])
    return _FIGURE.sub(lambda match: next(spans), reasons[0])


def _span(figures: Sequence[str]) -> str:
    low, high = (pick(figures, key=lambda figure: float(figure.strip("±%"))) for pick in (min, max))
    return low if low == high else f"{low} to {high}"
