"""Facts about machines: this one, and made-up boards."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.jobs.codec import from_json, to_json
from edgekit.runtimes.environment import Environment, Snapshot, foreign_load, frequency_mhz, probe, snapshot

CPU = probe().affinity[0]  # made-up trees describe a CPU that this process may use

PI5_CPUINFO = """processor	: 0
BogoMIPS	: 108.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0b
CPU revision	: 1

Revision	: c04170
Model		: Raspberry Pi 5 Model B Rev 1.0
"""


def tree(root: Path, files: dict[str, str]) -> tuple[Path, Path]:
    """A made-up /proc and /sys."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "proc", root / "sys"


@pytest.fixture
def board(tmp_path: Path) -> tuple[Path, Path]:
    cpu = f"sys/devices/system/cpu/cpu{CPU}"
    return tree(
        tmp_path,
        {
            "proc/cpuinfo": PI5_CPUINFO,
            "proc/meminfo": "MemTotal:        8129264 kB\nMemFree: 1 kB\nMemAvailable:    6000000 kB\n",
            "proc/stat": "cpu  1000 10 500 99999 70 0 20 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
            "proc/1/cgroup": "0::/\n",
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
            f"{cpu}/topology/thread_siblings_list": "0\n",
            f"{cpu}/cpufreq/scaling_governor": "ondemand\n",
            f"{cpu}/cpufreq/scaling_cur_freq": "1500000\n",
            f"{cpu}/cpufreq/cpuinfo_max_freq": "2400000\n",
            "sys/class/thermal/thermal_zone0/temp": "61750\n",
            "sys/class/thermal/thermal_zone1/temp": "48000\n",
        },
    )


def test_a_board_is_described(board: tuple[Path, Path]) -> None:
    found = probe(*board)
    assert found.cpu == "Cortex-A76"
    assert found.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert found.features == ("asimd", "asimdhp", "asimddp")
    assert found.governor == "ondemand"
    assert found.max_frequency_mhz == 2400
    assert found.memory_bytes == 8129264 * 1024
    assert found.container is None
    assert (found.cores, found.cpu_quota) == (1, None)
    assert not found.emulated


def test_the_state_of_a_board_is_read(board: tuple[Path, Path]) -> None:
    found = snapshot(*board)
    assert found.frequency_mhz == 1500
    assert found.temperature_c == 61.75
    assert found.busy_cpu_s == pytest.approx(15.30)
    assert found.throttle_events is None
    assert found.throttled is None
    assert found.memory_available_bytes == 6000000 * 1024
    assert frequency_mhz(board[1]) == 1500


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    found = probe(proc, sys)
    assert (found.board, found.governor, found.max_frequency_mhz, found.container, found.virtual) == (None,) * 5
    assert found.features == ()
    now = snapshot(proc, sys)
    assert (now.busy_cpu_s, now.frequency_mhz, now.temperature_c, now.throttle_events) == (None,) * 4
    assert foreign_load(now, now) is None


def test_a_sensor_that_answers_nonsense_is_left_out(board: tuple[Path, Path]) -> None:
    (board[1] / "class/thermal/thermal_zone0/temp").write_text("n/a\n")
    assert snapshot(*board).temperature_c == 48


def test_user_mode_emulation_is_detected(board: tuple[Path, Path]) -> None:
    proc, _ = board
    (proc / "self").mkdir()
    (proc / "thread-self").mkdir()
    (proc / "self/exe").symlink_to("/usr/bin/python3.11")
    (proc / "thread-self/exe").symlink_to("/usr/bin/python3.11")
    assert not probe(*board).emulated
    (proc / "thread-self/exe").unlink()
    (proc / "thread-self/exe").symlink_to("/usr/bin/qemu-aarch64-static")
    assert probe(*board).emulated


def test_full_machine_emulation_is_detected(board: tuple[Path, Path]) -> None:
    (board[0] / "device-tree/compatible").write_text("linux,dummy-virt\0")
    found = probe(*board)
    assert found.emulated
    assert found.virtual


def test_a_virtual_x86_machine_in_a_container(tmp_path: Path) -> None:
    info = "model name\t: AMD EPYC\nflags\t\t: fpu avx avx2 hypervisor avx512_vnni avx512_bf16 avx_vnni\n"
    proc, sys = tree(tmp_path, {"proc/cpuinfo": info, ".dockerenv": ""})
    found = probe(proc, sys)
    assert found.cpu == "AMD EPYC"
    assert found.virtual
    assert found.container == "docker"
    assert set(found.features) == {"avx", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16"}


def test_throttle_events_are_counted(tmp_path: Path) -> None:
    proc, sys = tree(tmp_path, {f"sys/devices/system/cpu/cpu{CPU}/thermal_throttle/core_throttle_count": "7\n"})
    assert snapshot(proc, sys).throttle_events == 7


@pytest.mark.parametrize(("state", "throttled"), [("0", False), ("3", True)])
def test_a_cooling_device_at_work_holds_the_clock_down(tmp_path: Path, state: str, throttled: bool) -> None:
    fan, clock = (f"sys/class/thermal/cooling_device{number}" for number in (0, 1))
    files = {f"{fan}/type": "pwm-fan\n", f"{fan}/cur_state": "4\n"}
    files |= {f"{clock}/type": "cpufreq-cpu0\n", f"{clock}/cur_state": f"{state}\n"}
    assert snapshot(*tree(tmp_path, files)).throttled is throttled


@pytest.mark.parametrize(("bits", "throttled"), [("50000", False), ("50005", True), ("0x2", True), ("", None)])
def test_the_firmware_of_a_raspberry_pi_is_asked(tmp_path: Path, bits: str, throttled: bool | None) -> None:
    files = {"sys/devices/platform/soc/soc:firmware/get_throttled": f"{bits}\n"}
    assert snapshot(*tree(tmp_path, files)).throttled is throttled


def test_the_quota_of_a_container_is_the_tightest_around_it(tmp_path: Path) -> None:
    group = "sys/fs/cgroup"
    files = {
        "proc/self/cgroup": "0::/pod/box\n",
        f"{group}/cgroup.controllers": "cpu memory\n",
        f"{group}/pod/cpu.max": "50000 100000\n",
        f"{group}/pod/box/cpu.max": "max 100000\n",
        f"{group}/pod/box/cpu.stat": "usage_usec 9\nnr_periods 8\nnr_throttled 5\n",
    }
    proc, sys = tree(tmp_path, files)
    assert probe(proc, sys).cpu_quota == 0.5
    assert snapshot(proc, sys).quota_stops == 5


def test_the_quota_of_the_first_version_of_control_groups(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/cpu"
    files = {
        "proc/self/cgroup": "3:cpuset:/\n2:cpu,cpuacct:/box\n0::/\n",
        f"{group}/box/cpu.cfs_quota_us": "150000\n",
        f"{group}/box/cpu.cfs_period_us": "100000\n",
        f"{group}/cpu.cfs_quota_us": "-1\n",
        f"{group}/cpu.cfs_period_us": "100000\n",
    }
    assert probe(*tree(tmp_path, files)).cpu_quota == 1.5


def test_this_machine() -> None:
    found = probe()
    assert found.architecture == platform.machine()
    assert found.python == platform.python_version()
    assert not found.emulated
    assert from_json(Environment, to_json(found)) == found
    assert from_json(Snapshot, to_json(snapshot())) is not None


def test_foreign_load_counts_others_and_not_this_process() -> None:
    before = replace(snapshot(), monotonic_s=100.0, own_cpu_s=5.0, busy_cpu_s=1000.0)
    after = replace(before, monotonic_s=102.0, own_cpu_s=6.5, busy_cpu_s=1002.5)
    assert foreign_load(before, after) == pytest.approx(0.5)
    alone = replace(after, busy_cpu_s=1001.49)  # the kernel counts in ticks, so a little less may show
    assert foreign_load(before, alone) == 0.0


@pytest.mark.skipif(platform.system() != "Linux", reason="needs /proc/stat")
def test_own_work_is_no_foreign_load() -> None:
    before = snapshot()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    after = snapshot()
    load = foreign_load(before, after)
    assert load is not None
    assert after.busy_cpu_s is not None
    assert before.busy_cpu_s is not None
    busy = (after.busy_cpu_s - before.busy_cpu_s) / (after.monotonic_s - before.monotonic_s)
    assert load < busy, "this process's own time is taken off"
