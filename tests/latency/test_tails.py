"""High percentiles: when they are given, and how often their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.latency.statistics import percentile, summarise
from edgekit.latency.tails import SUPPORT, percentile_interval


def drawn(
    random: np.random.Generator, openings: int, size: int, between: float, within: float, tail: float
) -> list[NDArray[np.float64]]:
    """Openings that each have their own speed, inferences that are slower by chance, some of them much slower."""
    speeds = np.exp(between * random.standard_normal(openings))
    noise = 1 + within * np.abs(random.standard_normal((openings, size)))
    hiccups = (random.random((openings, size)) < tail) * random.exponential(0.5, (openings, size))
    return list(speeds[:, None] * (noise + hiccups))


@pytest.mark.parametrize("percent", [90, 99])
def test_a_percentile_needs_enough_inferences(percent: int) -> None:
    few, enough = (summarise([np.ones(SUPPORT[percent] - missing)]) for missing in (1, 0))
    assert getattr(few, f"p{percent}") is None
    assert getattr(few, f"ci95_p{percent}") == ()
    assert getattr(enough, f"p{percent}") == 1.0


@pytest.mark.parametrize("percent", [90, 99])
@pytest.mark.parametrize(("openings", "size"), [(8, 1000), (16, 300), (30, 200)])
@pytest.mark.parametrize(
    ("between", "within", "tail"),
    [
        (0.0, 0.02, 0.0),  # openings alike
        (0.005, 0.02, 0.03),  # a tail of preemptions
        (0.01, 0.05, 0.05),
        (0.01, 0.02, 0.0),  # both levels count
        (0.03, 0.02, 0.0),  # openings far apart
        (0.03, 0.005, 0.0),
    ],
)
def test_few_stated_intervals_miss_the_truth(
    percent: int, openings: int, size: int, between: float, within: float, tail: float
) -> None:
    """Measured over 150 trials each: 0 to 7 %."""
    random = np.random.default_rng(5)
    truth = float(np.percentile(np.concatenate(drawn(random, 3000, 100, between, within, tail)), percent))
    stated = [percentile_interval(drawn(random, openings, size, between, within, tail), percent) for _ in range(60)]
    false = sum(bool(found) and not found[0] <= truth <= found[1] for found in stated)
    assert false / len(stated) <= 0.12
    if between <= within / 4 or tail:  # what the inferences decide, openings can show
        assert sum(map(bool, stated)) / len(stated) > 0.9


def test_openings_far_apart_state_no_interval() -> None:
    """The slowest tenth of eight openings is one of them."""
    openings = [np.full(500, 1 + 0.05 * number) for number in range(8)]
    latency = summarise(openings)
    assert latency.p90 == 1.35
    assert latency.ci95_p90 == ()


@given(
    sizes=st.lists(st.integers(5, 60), min_size=2, max_size=9), seed=st.integers(0, 999), factor=st.floats(0.01, 100)
)
@settings(max_examples=40, deadline=None)
def test_an_interval_holds_the_percentile_and_scales_with_the_unit(sizes: list[int], seed: int, factor: float) -> None:
    random = np.random.default_rng(seed)
    openings = [random.uniform(0.5, 2.0, size) for size in sizes]
    found = percentile_interval(openings, 90)
    scaled = percentile_interval([factor * opening for opening in openings], 90)
    assert scaled == pytest.approx(tuple(factor * limit for limit in found))
    if found:
        assert found[0] <= percentile(np.sort(np.concatenate(openings)), 90) <= found[1]
