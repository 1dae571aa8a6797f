"""What boards of each kind tell of a timing that heat, weak power or a thrifty governor disturbed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.latency.validity import timing_reasons
from edgekit.runtimes.environment import snapshot
from tests.boards import builder
from tests.boards.builder import Board
from tests.latency.made import measured, opening, speeds

POLICY = "sys/devices/system/cpu/cpufreq/policy0"
ZONE = "sys/class/thermal/thermal_zone0/temp"
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("make", "meanwhile", "words"),
    [
        (
            builder.raspberry_pi_4,
            {FIRMWARE: "50005"},
            "by the board's firmware the supply voltage was too low and the CPU was throttled meanwhile.",
        ),
        (
            builder.raspberry_pi_4,
            {"sys/class/thermal/cooling_device0/cur_state": "2"},
            "the clock was held down, for heat or too little power, in 8 of 16 looks.",
        ),
        (
            builder.raspberry_pi_5,
            {f"{POLICY}/scaling_cur_freq": "1500000"},
            "the CPU frequency moved between 1500 and 2400 MHz.",
        ),
        (
            builder.big_little,
            {ZONE: "86000"},
            "the CPU reached 86 °C, where boards lower their clock; throttling cannot be read here.",
        ),
        (
            builder.mini_pc,
            {"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "3"},
            "the CPU was throttled for heat 3 times.",
        ),
    ],
)
def test_what_happened_during_a_timing_makes_it_weak(
    make: Callable[[Path], Board],
    meanwhile: dict[str, str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    board = make(tmp_path)
    board.write({FIRMWARE: "50000"} if FIRMWARE in meanwhile else {})
    before = snapshot(board.proc, board.sys)
    assert timing_reasons(measured(speeds(1.0), opening(before=before, after=before))) == ()
    board.write(meanwhile)
    after = snapshot(board.proc, board.sys)
    assert timing_reasons(measured(speeds(1.0), opening(before=before, after=after))) == (words,)
