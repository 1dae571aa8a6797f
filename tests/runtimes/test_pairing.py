"""Two in one process: the turns, what is counted of them, and their ratio."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edgekit.runtimes.pairing import CYCLE, MIN_CYCLES, take_turns
from edgekit.runtimes.timing import TimingPlan


def waiting(seconds: float, who: str, seen: list[str]) -> Callable[[], None]:
    """An inference that takes so long at least."""

    def infer() -> None:
        seen.append(who)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return infer


def test_turns_follow_each_other_in_both_orders_and_their_first_inference_is_not_counted() -> None:
    seen: list[str] = []
    infers = [waiting(0.02, "a", seen), waiting(0.02, "b", seen)]  # longer than a turn: one is counted in each
    (first, second), ratios = take_turns(infers, TimingPlan(min_s=0.0, max_s=30.0))
    assert "".join(seen) == "aabbbbaa" * len(ratios)
    assert len(ratios) == MIN_CYCLES
    assert len(first.samples) == len(second.samples) == MIN_CYCLES * len(CYCLE) // 2
    assert first.wall_ns == sum(first.samples)


def test_the_ratio_is_that_of_the_second_to_the_first() -> None:
    seen: list[str] = []
    (first, second), ratios = take_turns(
        [waiting(0.0005, "a", seen), waiting(0.002, "b", seen)], TimingPlan(min_s=0.1, max_s=30.0)
    )
    assert sorted(ratios)[len(ratios) // 2] == pytest.approx(4, rel=0.4)
    assert len(first.samples) > len(second.samples)
    assert min(first.samples) >= 500_000


def test_the_time_limit_ends_the_turns_after_a_cycle() -> None:
    (_, second), ratios = take_turns(
        [waiting(0.001, "a", []), waiting(0.001, "b", [])], TimingPlan(min_s=10.0, max_s=0.0)
    )
    assert len(ratios) == 1
    assert second.samples
