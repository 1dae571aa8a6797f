"""``cpus=big`` and ``cpus=little`` on made-up boards, and on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import MissingError, UsageError
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.clusters import clusters, cpus_named, numbers, on_cluster
from tests.boards import builder
from tests.boards.builder import Board, Cores, build

EVERY = range(64)


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
    sys = make(tmp_path).sys
    assert cpus_named("big", sys, EVERY) == big
    assert cpus_named("little", sys, EVERY) == little


def test_cores_of_equal_capacity_are_told_apart_by_their_clock(tmp_path: Path) -> None:
    sys = build(tmp_path, [Cores((0, 1), 1_400_000, 1024), Cores((2, 3), 2_000_000, 1024)]).sys
    assert [(one.cpus, one.max_frequency_mhz) for one in clusters(sys)] == [((2, 3), 2000.0), ((0, 1), 1400.0)]


def test_a_core_that_is_offline_is_not_counted(tmp_path: Path) -> None:
    board = builder.big_little(tmp_path)
    board.write({"sys/devices/system/cpu/online": "0-4,6-7"})
    assert cpus_named("big", board.sys, EVERY) == (4, 6, 7)


def test_only_cores_that_the_process_may_use_are_taken(tmp_path: Path) -> None:
    sys = builder.big_little(tmp_path).sys
    assert cpus_named("big", sys, {0, 5}) == (5,)
    with pytest.raises(MissingError) as caught:
        cpus_named("big", sys, {0, 1})
    assert caught.value.code == "no-such-cpu"
    assert "0, 1" in caught.value.hint


def test_a_machine_without_such_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        cpus_named("big", tmp_path)
    assert caught.value.code == "no-clusters"
    assert "cpus=0-3" in caught.value.hint


def test_another_word_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        cpus_named("huge")
    assert "cpus=big" in caught.value.hint


def test_this_machine_has_some() -> None:
    assert set(cpus_named("big")) <= os.sched_getaffinity(0)
    assert sum(len(one.cpus) for one in clusters()) >= len(cpus_named("big"))


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
