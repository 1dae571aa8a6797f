"""Percentiles and intervals: definitions, and how often the intervals hold the truth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit.latency.statistics import estimate_p50, estimate_ratio, percentile, summarise
from tests.latency.made import speeds


@given(
    samples=arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(0.01, 100)),
    percent=st.floats(0, 100, exclude_min=True),
)
def test_a_percentile_is_the_smallest_sample_with_enough_at_or_below_it(samples: np.ndarray, percent: float) -> None:
    found = percentile(np.sort(samples), percent)
    assert found in samples
    assert np.mean(samples <= found) >= percent / 100 - 1e-12
    smaller = samples[samples < found]
    assert not len(smaller) or np.mean(samples <= smaller.max()) < percent / 100 + 1e-12


def test_percentiles_of_a_known_series() -> None:
    latency = summarise([np.arange(1.0, 61.0), np.arange(61.0, 101.0)])
    assert (latency.p50, latency.p90, latency.min, latency.mean) == (50.0, 90.0, 1.0, 50.5)


def test_one_opening_has_no_interval() -> None:
    assert summarise([np.ones(10)]).ci95_p50 == ()


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=9),
    seed=st.integers(0, 999),
    factor=st.floats(0.01, 100),
)
@settings(max_examples=40, deadline=None)
def test_the_interval_holds_the_median_and_scales_with_the_unit(sizes: list[int], seed: int, factor: float) -> None:
    random = np.random.default_rng(seed)
    openings = [random.uniform(0.5, 2.0, size) for size in sizes]
    estimate = estimate_p50(openings)
    assert estimate.value == percentile(np.sort(np.concatenate(openings)), 50)
    assert 0 <= estimate.low <= estimate.value <= estimate.high
    scaled = estimate_p50([factor * opening for opening in openings])
    assert scaled.ci95 == pytest.approx((factor * estimate.low, factor * estimate.high))
    ratio = estimate_ratio([factor * opening for opening in openings], openings, paired=True)
    assert ratio.ci95 == pytest.approx((factor, factor))


def test_the_same_samples_give_the_same_interval() -> None:
    assert estimate_p50(speeds(1.0)) == estimate_p50(speeds(1.0))


def test_equal_openings_leave_no_doubt() -> None:
    estimate = estimate_p50([np.full(20, 3.0)] * 8)
    assert (estimate.ci95, estimate.half_width) == ((3.0, 3.0), 0.0)


def test_many_inferences_of_few_openings_do_not_narrow_the_interval() -> None:
    few = estimate_p50(speeds(1.0, spread=0.03, size=50)).half_width
    many = estimate_p50(speeds(1.0, spread=0.03, size=5000)).half_width
    assert many > 0.5 * few


def test_more_openings_narrow_it() -> None:
    widths = [estimate_p50(speeds(1.0, count, spread=0.03)).half_width for count in (8, 32, 128)]
    assert all(wide > narrow for wide, narrow in pairwise(widths))


@pytest.mark.parametrize("openings", [3, 8, 16])
def test_intervals_hold_the_truth_about_95_times_in_100(openings: int) -> None:
    covered, ratio_covered, trials = 0, 0, 200
    for trial in range(trials):
        first = speeds(1.0, openings, spread=0.03, seed=2 * trial, size=30)
        second = speeds(1.0, openings, spread=0.03, seed=2 * trial + 1, size=30)
        estimate, ratio = estimate_p50(first), estimate_ratio(first, second, paired=False)
        covered += estimate.low <= 1 <= estimate.high
        ratio_covered += ratio.low <= 1 <= ratio.high
    assert covered / trials >= 0.89
    assert ratio_covered / trials >= 0.92


def test_taking_turns_cancels_what_slows_both_down() -> None:
    load = (1.0, 1.0, 1.6, 1.7, 1.0, 1.5, 1.0, 1.4)
    parent = [factor * samples for factor, samples in zip(load, speeds(2.0, seed=1), strict=True)]
    child = [factor * samples for factor, samples in zip(load, speeds(1.0, seed=2), strict=True)]
    paired, unpaired = estimate_ratio(parent, child, paired=True), estimate_ratio(parent, child, paired=False)
    assert paired.low > 1.8
    assert paired.high < 2.2
    assert paired.high - paired.low < 0.3 * (unpaired.high - unpaired.low)


def test_pairs_need_as_many_rounds() -> None:
    with pytest.raises(ValueError, match="as many rounds: 8 and 7"):
        estimate_ratio(speeds(1.0), speeds(1.0, 7), paired=True)
