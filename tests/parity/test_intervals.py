"""Intervals against published figures, scipy, and their own promise: how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.parity import intervals
from edgekit.parity.intervals import (
    bootstrap,
    clopper_pearson,
    paired_drop,
    paired_mean,
    regularised_beta,
    share_interval,
    student_quantile,
    wilson,
)

special = pytest.importorskip("scipy.special", reason="scipy comes with scikit-learn")


@given(samples=st.integers(1, 100_000), share=st.floats(0, 1))
def test_clopper_pearson_is_the_beta_quantile(samples: int, share: float) -> None:
    hits = round(share * samples)
    low, high = clopper_pearson(hits, samples)
    misses = samples - hits
    assert low == pytest.approx(special.betaincinv(hits, misses + 1, 0.025) if hits else 0.0, abs=1e-9)
    assert high == pytest.approx(special.betaincinv(hits + 1, misses, 0.975) if misses else 1.0, abs=1e-9)


@given(a=st.floats(0.5, 1e4), b=st.floats(0.5, 1e4), x=st.floats(0, 1))
def test_the_beta_function_is_exact(a: float, b: float, x: float) -> None:
    assert regularised_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("share", "samples"), [(0.99, 200), (0.9, 30), (0.5, 12)])
def test_clopper_pearson_covers_at_least_95_percent(share: float, samples: int) -> None:
    drawn = np.random.default_rng(0).binomial(samples, share, size=4000)
    intervals = {hits: clopper_pearson(hits, samples) for hits in set(drawn.tolist())}
    covered = np.mean([intervals[hits][0] <= share <= intervals[hits][1] for hits in drawn.tolist()])
    assert covered >= 0.945


def test_nothing_is_known_without_samples() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert paired_drop(0, 0, 0, 0) == (-1.0, 1.0)
    with pytest.raises(ValueError, match="between 0 and 3"):
        clopper_pearson(4, 3)


def test_all_agree_needs_122_samples_to_show_97_percent() -> None:
    assert clopper_pearson(121, 121)[0] < 0.97 < clopper_pearson(122, 122)[0]


@given(samples=st.integers(1, 300), share=st.floats(0, 1))
def test_the_interval_of_shares_is_no_narrower_than_that_of_whole_samples(samples: int, share: float) -> None:
    hits = share * samples
    low, high = share_interval(hits, samples)
    assert low <= share <= high
    assert low >= clopper_pearson(int(hits), samples)[0] - 1e-12
    assert share_interval(round(hits), samples) == clopper_pearson(round(hits), samples)


@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_the_interval_of_shares_covers_at_least_95_percent(spread: float) -> None:
    random = np.random.default_rng(0)
    truth, samples = 0.97, 60
    sums = random.beta(truth * spread, (1 - truth) * spread, size=(2000, samples)).sum(axis=1)
    covered = np.mean([low <= truth <= high for low, high in (share_interval(total, samples) for total in sums)])
    assert covered >= 0.945


def test_wilson_matches_the_published_example() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe, Statistics in Medicine 17, 1998


def test_paired_drop_matches_the_published_example() -> None:
    low, high = paired_drop(14, 5, 0, 22)  # Altman et al., "Statistics with Confidence", 2nd edition, chapter 6
    assert (round(low, 3), round(high, 3)) == (0.011, 0.226)


@pytest.mark.parametrize("shares", [(0.85, 0.03, 0.02, 0.10), (0.95, 0.02, 0.0, 0.03), (0.4, 0.2, 0.1, 0.3)])
def test_paired_drop_covers_about_95_percent(shares: tuple[float, ...]) -> None:
    tables = np.random.default_rng(0).multinomial(300, shares, size=2000)
    truth = shares[1] - shares[2]
    covered = np.mean([low <= truth <= high for low, high in (paired_drop(*row) for row in tables.tolist())])
    assert 0.93 <= covered <= 0.99


@given(st.lists(st.integers(0, 200), min_size=4, max_size=4).filter(any))
def test_paired_drop_holds_the_drop_and_turns_with_the_roles(table: list[int]) -> None:
    both, first, second, neither = table
    low, high = paired_drop(both, first, second, neither)
    assert -1 <= low <= (first - second) / sum(table) <= high <= 1
    assert paired_drop(both, second, first, neither) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (7, 2.3646), (30, 2.0423)])
def test_student_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, abs=1e-4)


def test_paired_mean_is_students_interval() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with scikit-learn")
    differences = np.random.default_rng(0).normal(0.3, 2.0, 17)
    assert paired_mean(differences) == pytest.approx(stats.ttest_1samp(differences, 0).confidence_interval(0.95))
    assert paired_mean(np.zeros(4)) == (0.0, 0.0)
    assert paired_mean(np.ones(1)) == ()


@pytest.mark.parametrize("skewed", [False, True])
def test_paired_mean_covers_about_95_percent(skewed: bool) -> None:
    random = np.random.default_rng(0)
    drawn = random.exponential(size=(500, 200)) - 1 if skewed else random.normal(size=(500, 20))
    limits = [paired_mean(row) for row in drawn]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in limits]) <= 0.97


def test_a_bootstrap_covers_about_95_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio of two sums, as of an intersection and a union."""
    monkeypatch.setattr(intervals, "RESAMPLES", 400)  # enough here, and 5 times as fast
    random = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        union = random.integers(5, 50, 80).astype(float)
        both = random.binomial(union.astype(int), 0.7).astype(float)

        def ratio(weights: np.ndarray, both: np.ndarray = both, union: np.ndarray = union) -> float:
            return float((weights @ both) / (weights @ union))

        low, high = bootstrap(ratio, 80, value=ratio(np.ones(80)))
        covered.append(low <= 0.7 <= high)
    assert 0.9 <= np.mean(covered) <= 0.99


def test_a_bootstrap_repeats_and_leaves_out_what_is_undefined() -> None:
    values = np.random.default_rng(0).normal(size=50)

    def mean(weights: np.ndarray) -> float:
        return float(weights @ values) / 50

    def sometimes(weights: np.ndarray) -> float:
        return mean(weights) if weights[0] else float("nan")

    first = bootstrap(mean, 50, value=mean(np.ones(50)))
    assert first == bootstrap(mean, 50, value=mean(np.ones(50)))
    assert bootstrap(mean, 50, value=5.0)[1] == 5.0
    assert bootstrap(sometimes, 50, value=0.0) == pytest.approx(first, abs=0.1)
    assert bootstrap(lambda weights: float("nan"), 50, value=0.0) == ()
    assert bootstrap(mean, 1, value=0.0) == ()


def test_a_slow_bootstrap_stops_in_time_with_a_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=50)
    calls = []

    def slow(weights: np.ndarray) -> float:
        calls.append(1)
        return float(weights @ values) / 50

    low, high = bootstrap(slow, 50, value=float(values.mean()), seconds=0.0)
    assert len(calls) < 50
    assert (low, high) == pytest.approx(paired_mean(values), abs=0.15)
