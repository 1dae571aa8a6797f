"""Which CPUs a text names, on generated machines that share the CPUs of this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.runtimes.cpus import choose_cpus, show_cpus

FOUR = (0, 1, 2, 3)

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux pins processes")


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four CPUs that this process may use, however many there are: choosing pins nothing."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(FOUR))


def machine(folder: Path, name: str, values: tuple[int, ...]) -> Path:
    for cpu, value in enumerate(values):
        path = folder / "devices" / "system" / "cpu" / f"cpu{cpu}" / name
        path.parent.mkdir(parents=True)
        path.write_text(f"{value}\n")
    return folder


def test_numbers_and_ranges(tmp_path: Path) -> None:
    assert choose_cpus("3,0-1", tmp_path) == (0, 1, 3)


@pytest.mark.parametrize("text", ["", "x", "3-1", "0,", "-1", "big,0", "1.5"])
def test_what_names_no_cpus(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        choose_cpus(text, tmp_path)
    assert caught.value.code == "bad-cpus"


def test_a_cpu_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CPU 4-6") as caught:
        choose_cpus("3-6", tmp_path)
    assert caught.value.code == "no-such-cpu"
    assert "0-3" in caught.value.hint


def test_clusters_by_capacity(tmp_path: Path) -> None:
    sys = machine(tmp_path, "cpu_capacity", (446, 446, 1024, 1024))
    assert choose_cpus("little", sys) == (0, 1)
    assert choose_cpus("big", sys) == (2, 3)
    assert choose_cpus("one", sys) == (3,)


def test_clusters_by_clock_where_there_is_no_capacity(tmp_path: Path) -> None:
    sys = machine(tmp_path, "cpufreq/cpuinfo_max_freq", (1800000, 1800000, 1800000, 2400000))
    assert choose_cpus("big", sys) == (3,)
    assert choose_cpus("little", sys) == (0, 1, 2)


def test_three_clusters_have_a_fastest_and_a_slowest(tmp_path: Path) -> None:
    sys = machine(tmp_path, "cpu_capacity", (300, 700, 700, 1024))
    assert (choose_cpus("big", sys), choose_cpus("little", sys)) == ((3,), (0,))


def test_favoured_cores_are_no_cluster(tmp_path: Path) -> None:
    sys = machine(tmp_path, "cpufreq/cpuinfo_max_freq", (5200000, 5200000, 5500000, 5500000))
    assert choose_cpus("big", sys) == FOUR
    with pytest.raises(UsageError) as caught:
        choose_cpus("little", sys)
    assert caught.value.code == "no-little-cpus"


def test_intels_lists_are_believed(tmp_path: Path) -> None:
    sys = machine(tmp_path, "cpufreq/cpuinfo_max_freq", (5200000, 5500000, 3900000, 3900000))
    (sys / "devices" / "cpu_atom").mkdir()
    (sys / "devices" / "cpu_atom" / "cpus").write_text("2-3\n")
    assert (choose_cpus("big", sys), choose_cpus("little", sys)) == ((0, 1), (2, 3))


def test_cpus_are_shown_as_people_write_them() -> None:
    assert show_cpus([5, 0, 1, 2]) == "0-2,5"
