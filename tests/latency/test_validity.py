"""Environments that are not fit to measure on, and one that is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import JobCrashed
from edgekit.latency.measured import Measured
from edgekit.latency.validity import NOT_CONVERGED, modes, timing_reasons
from edgekit.runtimes.cooling import Cooled
from tests.latency.made import MACHINE, QUIET, measured, opening, speeds

BUSY = replace(QUIET, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.5)
THROTTLED = replace(QUIET, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.0, throttle_events=7)
COOL = replace(QUIET, throttle_events=4)
HOT = replace(QUIET, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.0, temperature_c=84.0)
HELD = replace(QUIET, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.0, temperature_c=84.0, throttled=True)
ALLOWED = replace(QUIET, quota_stops=3)
STOPPED = replace(QUIET, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.0, quota_stops=7)
LOW_POWER = replace(QUIET, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.0, throttled=True, throttle_flags=0x50001)
WARM = Cooled(30.0, 78.0, 71.0, reached=False)
SLOWED = replace(QUIET, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.0, frequency_mhz=2700.0)


def test_a_quiet_machine_gives_no_reason() -> None:
    assert timing_reasons(measured(speeds(1.0))) == ()


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (measured([sample for step in range(8) for sample in speeds(1 + 0.03 * step, 1)]), "p50 drifted by +2"),
        (measured(speeds(1.0), opening(after=BUSY)), "other processes used 50% of a core"),
        (measured(speeds(1.0), opening(after=SLOWED)), "frequency moved between 2700 and 3000 MHz"),
        (measured(speeds(1.0), opening(before=COOL, after=THROTTLED)), "throttled for heat 3 times"),
        (measured(speeds(1.0), opening(after=HOT)), "reached 84 °C"),
        (measured(speeds(1.0), opening(frequency_during_mhz=2700.0)), "frequency moved between 2700 and 3000 MHz"),
        (measured(speeds(1.0), opening(after=HELD)), "held down, for heat or too little power, in 8 of 16 looks"),
        (
            measured(speeds(1.0), opening(before=replace(QUIET, throttle_flags=0), after=LOW_POWER)),
            "firmware the supply voltage was too low and the CPU was throttled meanwhile",
        ),
        (
            measured(speeds(1.0), opening(), opening(cooled=WARM)),
            "7 of 8 openings began hotter than the first, up to 71 °C: waiting 210 s",
        ),
        (measured(speeds(1.0), opening(before=ALLOWED, after=STOPPED)), "stopped the process 32 times"),
        (measured([each * np.linspace(1.2, 1.0, 100) for each in speeds(1.0)]), "had not settled: within an opening"),
        (measured(speeds(1.0), opening(steady=False), opening()), "1 of 8 openings had not reached a steady speed"),
        (
            measured(speeds(1.0), converged=False),
            f"{NOT_CONVERGED} within the time limit: the 95 % interval of p50 is ±",
        ),
        (measured(speeds(1.0, 1), converged=False), "a single opening"),
        (measured([np.where(np.arange(100) % 3, 1.3, 1.0) * each for each in speeds(1.0)]), "two groups, around 1"),
        (measured(speeds(9.0, 1), opening(environment=replace(MACHINE, emulated=True))), "emulated"),
    ],
)
def test_what_makes_a_timing_weak(taken: Measured, words: str) -> None:
    reasons = timing_reasons(taken)
    assert len(reasons) == 1
    assert words in reasons[0]


def test_heat_is_no_matter_where_the_kernel_counts_no_throttling() -> None:
    hot = replace(HOT, throttle_events=4)
    assert timing_reasons(measured(speeds(1.0), opening(before=COOL, after=hot))) == ()


def test_heat_is_no_matter_where_the_clock_is_seen_to_be_held_up() -> None:
    cool = replace(QUIET, throttled=False)
    hot = replace(HOT, throttled=False)
    assert timing_reasons(measured(speeds(1.0), opening(before=cool, after=hot))) == ()


def test_a_measurement_that_an_error_ended_did_not_run_out_of_time() -> None:
    error = JobCrashed("crashed", "the process died.", hint="Run it again.")
    assert timing_reasons(measured(speeds(1.0, 3), converged=False, error=error)) == ()


def test_cold_starts_are_not_expected_to_be_steady() -> None:
    cold = [np.array([value]) for value in (9.0, 8.1, 7.9, 8.0, 8.1, 8.0, 7.9, 8.0)]
    assert timing_reasons(measured(cold, opening(steady=False), scenario="cold")) == ()


def test_nothing_is_said_about_a_measurement_that_failed() -> None:
    assert timing_reasons(measured([])) == ()


@given(seed=st.integers(0, 200), kind=st.sampled_from(["normal", "exponential", "uniform", "spikes", "constant"]))
def test_one_mode_is_not_taken_for_two(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    samples = {
        "normal": 1 + 0.1 * random.standard_normal(500),
        "exponential": 1 + 0.3 * random.exponential(size=500),
        "uniform": random.uniform(0.5, 1.5, 500),
        "spikes": np.where(random.random(500) < 0.005, 9.0, 1 + 0.01 * random.standard_normal(500)),
        "constant": np.ones(500),
    }[kind]
    assert modes(samples) is None


@given(seed=st.integers(0, 200), share=st.floats(0.2, 0.8), apart=st.floats(0.2, 2.0))
def test_two_modes_are_found_where_they_are(seed: int, share: float, apart: float) -> None:
    random = np.random.default_rng(seed)
    high = random.random(600) < share
    found = modes(np.where(high, 1.0 + apart, 1.0) * (1 + 0.01 * random.standard_normal(600)))
    assert found == pytest.approx((1.0, 1.0 + apart), rel=0.05)
