"""Which cores of made-up boards, and of this machine, are alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.clusters import clusters, numbers, on_cluster
from tests.boards import builder
from tests.boards.builder import Board, Cores, build


@pytest.mark.parametrize(
    ("make", "big", "little"),
    [
        (builder.raspberry_pi_4, (0, 1, 2, 3), (0, 1, 2, 3)),
        (builder.raspberry_pi_5, (0, 1, 2, 3), (0, 1, 2, 3)),
        (builder.big_little, (4, 5, 6, 7), (0, 1, 2, 3)),
        (builder.phone, (7,), (0, 1, 2, 3)),
        (builder.mini_pc, (0, 1, 2, 3), (0, 1, 2, 3)),
        (builder.hybrid_laptop, (0, 1), (2, 3, 4, 5)),
    ],
)
def test_a_timing_stays_on_cores_of_one_kind(
    make: Callable[[Path], Board], big: tuple[int, ...], little: tuple[int, ...], tmp_path: Path
) -> None:
    found = clusters(make(tmp_path).sys)
    assert (found[0].cpus, found[-1].cpus) == (big, little)


def test_cores_of_equal_capacity_are_told_apart_by_their_clock(tmp_path: Path) -> None:
    sys = build(tmp_path, [Cores((0, 1), 1_400_000, 1024), Cores((2, 3), 2_000_000, 1024)]).sys
    assert [(one.cpus, one.max_frequency_mhz) for one in clusters(sys)] == [((2, 3), 2000.0), ((0, 1), 1400.0)]


def test_a_core_that_is_offline_is_not_counted(tmp_path: Path) -> None:
    board = builder.big_little(tmp_path)
    board.write({"sys/devices/system/cpu/online": "0-4,6-7"})
    assert clusters(board.sys)[0].cpus == (4, 6, 7)


def test_a_machine_without_such_files_tells_of_none(tmp_path: Path) -> None:
    assert clusters(tmp_path) == ()


def test_this_machine_has_some() -> None:
    assert {cpu for one in clusters() for cpu in one.cpus} >= os.sched_getaffinity(0)


def test_the_kernels_lists_of_cpus_are_read() -> None:
    assert numbers("0-2,5,8-9\n") == (0, 1, 2, 5, 8, 9)
    assert numbers("") == numbers(None) == ()


def test_a_cluster_gets_one_thread_for_each_of_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    open_number = OpenOptions()
    assert on_cluster(open_number) == open_number
    monkeypatch.setenv("EDGEKIT_CPUS", "big")
    assert on_cluster(open_number).threads == len(os.sched_getaffinity(0))
    assert on_cluster(OpenOptions(threads=1)).threads == 1
    monkeypatch.setenv("EDGEKIT_CPUS", "0,1")
    assert on_cluster(open_number).threads is None
