"""Reasons and notes: every one once, and doubts that only differ in their figures together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.report.collect import summarise
from edgekit.report.reasons import reasons_by_text, spanned
from edgekit.results import RunResult
from tests.report import samples


def noisy(*reasons: tuple[str, ...]) -> RunResult:
    """A run whose timings have these reasons."""
    result = samples.run_result()
    rows = zip(result.latency, reasons, strict=False)
    return replace(result, latency=tuple(replace(row, verdict="weak", reasons=found) for row, found in rows))


def test_doubts_that_differ_in_figures_are_one_sentence() -> None:
    drifts = ("p50 drifted by -17% from the first opening.", "p50 drifted by +41% from the first opening.")
    loads = ("other processes used 35% of a core meanwhile.", "other processes used 35% of a core meanwhile.")
    (summary,) = summarise([noisy((drifts[0], loads[0]), (drifts[1], loads[1]))])
    reasons = reasons_by_text(summary)
    names = tuple(row.name for row in samples.run_result().latency[:2])
    assert reasons["p50 drifted by -17% to +41% from the first opening."] == names
    assert reasons["other processes used 35% of a core meanwhile."] == names


def test_figures_of_a_comparison_with_the_source_stay_apart() -> None:
    result = samples.run_result()
    texts = ("the SQNR is 17.2 dB, under the 20 dB of int8.", "the SQNR is 12.9 dB, under the 20 dB of int8.")
    checks = tuple(replace(check, reasons=(said,)) for check, said in zip(result.checks, texts, strict=False))
    (summary,) = summarise([replace(result, checks=checks)])
    assert set(texts) <= set(reasons_by_text(summary))


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (("one", "one"), "one"),
        (("3 of 8 openings", "2 of 12 openings"), "2 to 3 of 8 to 12 openings"),
        (("p50 is ±3.1% after 8", "p50 is ±12.0% after 8"), "p50 is ±3.1% to ±12.0% after 8"),
        (("around 0.5 ms and 10 ms.", "around 0.09 ms and 2 ms."), "around 0.09 to 0.5 ms and 2 to 10 ms."),
        (("int8 of x86 in 1.31.1 took 3 s", "int8 of x86 in 1.31.1 took 1 s"), "int8 of x86 in 1.31.1 took 1 to 3 s"),
    ],
)
def test_a_span_has_the_least_and_the_greatest_figure(reasons: tuple[str, ...], said: str) -> None:
    assert spanned(reasons) == said
