"""Waiting for a board to cool down between openings."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.runtimes.cooling import cool_down, temperature_c
from tests.boards import builder


def test_it_waits_until_the_board_is_as_cool_as_asked(tmp_path: Path) -> None:
    board = builder.raspberry_pi_4(tmp_path)
    degrees = [70.0]
    board.heat(degrees[0])

    def pass_time(seconds: float) -> None:
        degrees[0] -= 4 * seconds
        board.heat(degrees[0])

    cooled = cool_down(61.0, sys=board.sys, sleep=pass_time)
    assert cooled.reached
    assert cooled.before_c == 70.0
    assert cooled.after_c == 60.0
    assert cooled.waited_s == 2.5


def test_a_board_that_stays_hot_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    board = builder.raspberry_pi_5(tmp_path)
    board.heat(82)
    waits: list[float] = []
    cooled = cool_down(60.0, max_s=10.0, sys=board.sys, sleep=waits.append)
    assert not cooled.reached
    assert cooled.waited_s == sum(waits) == 10.0


@pytest.mark.parametrize("degrees", [48.0, 55.0])
def test_a_cool_board_is_not_waited_for(degrees: float, tmp_path: Path) -> None:
    board = builder.mini_pc(tmp_path)
    board.heat(degrees)
    cooled = cool_down(55.0, sys=board.sys, sleep=lambda seconds: pytest.fail("it waited"))
    assert cooled.reached


def test_without_a_sensor_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    cooled = cool_down(55.0, sys=tmp_path, sleep=lambda seconds: pytest.fail("it waited"))
    assert cooled.reached
    assert cooled.before_c is None


def test_the_hottest_zone_counts_and_a_dead_one_does_not(tmp_path: Path) -> None:
    board = builder.big_little(tmp_path)
    board.write({"sys/class/thermal/thermal_zone1/temp": "61750", "sys/class/thermal/thermal_zone2/temp": "-274000"})
    assert temperature_c(board.sys) == 61.75
