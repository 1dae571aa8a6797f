"""A planted regression is found, noise is not called one, and different things are not compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgekit.errors import UsageError
from edgekit.latency.comparison import compare_rows
from edgekit.latency.validity import NOT_CONVERGED
from tests.latency.made import row, speeds

BASE = row(speeds(1.0, seed=1))


def test_a_planted_regression_of_20_percent_is_found() -> None:
    found = compare_rows(row(speeds(1.2, seed=2)), BASE, max_regression=0.05)
    assert (found.answer, found.regression) == ("slower", True)
    assert found.ratio == pytest.approx(1.2, rel=0.03)
    assert found.ci95 is not None
    assert found.ci95[0] > 1.05
    assert "beyond the accepted 1.05" in found.reasons[0]


def test_a_regression_within_the_limit_is_slower_and_no_more() -> None:
    found = compare_rows(row(speeds(1.1, seed=2)), BASE, max_regression=0.25)
    assert (found.answer, found.regression, found.reasons) == ("slower", False, ())


@pytest.mark.parametrize("seed", range(2, 12))
def test_the_same_speed_again_is_no_regression(seed: int) -> None:
    assert not compare_rows(row(speeds(1.0, seed=seed)), BASE, max_regression=0.0).regression


def test_a_wide_interval_does_not_accuse() -> None:
    found = compare_rows(row(speeds(1.1, spread=0.2, seed=3)), BASE, max_regression=0.05)
    assert (found.answer, found.regression) == ("no difference shown", False)


def test_faster_is_faster() -> None:
    found = compare_rows(row(speeds(0.7, seed=4)), BASE, max_regression=0.05)
    assert (found.answer, found.regression) == ("faster", False)


def test_without_a_limit_nothing_is_a_regression() -> None:
    found = compare_rows(row(speeds(3.0)), BASE)
    assert (found.answer, found.regression) == ("slower", False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "pi"}, "the device differs: pi now, local in the baseline."),
        ({"runtime": "openvino"}, "the runtime differs"),
        ({"threads": None}, "the threads differs: not set now, 1 in the baseline."),
        ({"batch": 8}, "the batch differs"),
        ({"scenario": "throughput"}, "the scenario differs"),
        ({"environment": {**BASE.environment, "cpu": "Other"}}, "the environment's cpu differs: Other now"),
        ({"verdict": "error", "latency_ms": None}, "this result has no valid timing"),
        ({"opening_p50_ms": (1.0, 1.1)}, "this result has fewer than 3 openings"),
        ({"verdict": "weak", "reasons": ("p50 drifted by +20%.",)}, "this result is weak: p50 drifted by +20%."),
    ],
)
def test_what_cannot_be_compared_is_never_a_regression(changes: dict[str, Any], words: str) -> None:
    found = compare_rows(replace(row(speeds(9.0)), **changes), BASE, max_regression=0.05)
    assert (found.answer, found.regression) == ("not comparable", False)
    assert any(words in reason for reason in found.reasons)


def test_a_weak_baseline_cannot_be_compared_with_either() -> None:
    weak = replace(BASE, verdict="weak", reasons=("other processes used 60% of a core meanwhile.",))
    assert compare_rows(row(speeds(9.0)), weak, max_regression=0.05).answer == "not comparable"


def test_a_result_that_only_did_not_converge_is_compared_by_its_interval() -> None:
    wide = replace(row(speeds(2.0)), verdict="weak", reasons=(f"{NOT_CONVERGED}: the interval is ±3%.",))
    assert compare_rows(wide, BASE, max_regression=0.05).regression


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(UsageError, match="0 or more"):
        compare_rows(BASE, BASE, max_regression=-0.1)
