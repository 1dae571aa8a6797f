"""Facts about the machine that a timing was taken on. Part of the device core.

Everything that may be unreadable is Optional: a board without ``/sys``, a container or macOS lacks some of it,
and a fact that could not be read is None, never a guess. ``proc`` and ``sys`` are arguments so that tests can
describe a made-up board.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from edgekit.runtimes.cooling import temperature_c
from edgekit.runtimes.throttle import NOW, throttle_flags

#: Set for processes whose GPU is in software, see `edgekit.devices.software_gpu`.
SOFTWARE_GPU_VARIABLE = "EDGEKIT_SOFTWARE_GPU"

PROC = Path("/proc")
SYS = Path("/sys")

#: Instruction sets that decide how fast inference is, as Linux spells them on x86-64 and Arm.
FEATURES = (
    "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16",
    "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip

#: Arm cores by implementer and part number of ``/proc/cpuinfo`` (Arm's technical reference manuals, MIDR_EL1).
_ARM_CORES = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd49"): "Neoverse-N2",
}


@dataclass(frozen=True)
class Snapshot:
    """What changes while a measurement runs; cheap to take.

    Attributes:
        monotonic_s: when, on a clock without a meaningful zero.
        own_cpu_s: CPU seconds that this process has used.
        busy_cpu_s: CPU seconds that the whole machine has used since it started.
        load_average: runnable processes, averaged over one minute.
        frequency_mhz: mean current frequency of the CPUs this process may use.
        temperature_c: the hottest thermal zone.
        throttle_events: thermal throttle events that the kernel has counted since the machine started (x86 only).
        throttled: whether the kernel or the board's firmware holds the clock down now, for heat or too little power.
        throttle_flags: of a Raspberry Pi's firmware, see `edgekit.runtimes.throttle`; None elsewhere.
        quota_stops: how often the quota of this process's control group has stopped it.
        memory_available_bytes: what the kernel could hand out without swapping.
    """

    monotonic_s: float
    own_cpu_s: float
    busy_cpu_s: Optional[float]
    load_average: Optional[float]
    frequency_mhz: Optional[float]
    temperature_c: Optional[float]
    throttle_events: Optional[int]
    throttled: Optional[bool] = None
    throttle_flags: Optional[int] = None
    quota_stops: Optional[int] = None
    memory_available_bytes: Optional[int] = None


@dataclass(frozen=True)
class Environment:
    """What stays the same while a measurement runs.

    Attributes:
        architecture: such as ``x86_64`` or ``aarch64``.
        cpu: model name.
        board: what the device tree calls the machine, such as ``Raspberry Pi 5 Model B Rev 1.0``.
        features: those of `FEATURES` that the CPU has.
        logical_cpus: of the machine.
        affinity: CPUs that this process may use.
        cores: physical cores that these belong to; None where the kernel does not tell.
        cpu_quota: CPUs' worth of time that its control group allows, 0.5 for half of one; None without a limit.
        governor: frequency governor of those CPUs; several are joined by ``+``.
        max_frequency_mhz: the highest frequency of any of those CPUs.
        memory_bytes: of the machine.
        container: kind of container, ``docker`` for one; None where there is no sign of one.
        virtual: whether a hypervisor shows; None where that cannot be known.
        emulated: whether another CPU, or the GPU, is emulated in software: latency means nothing then.
        python, numpy: versions.
        os: such as ``Debian GNU/Linux 12 (bookworm)``.
        kernel: name and release.
        libc: name and version; None where Python does not know it.
    """

    architecture: str
    cpu: Optional[str]
    board: Optional[str]
    features: tuple[str, ...]
    logical_cpus: Optional[int]
    affinity: tuple[int, ...]
    cores: Optional[int]
    cpu_quota: Optional[float]
    governor: Optional[str]
    max_frequency_mhz: Optional[float]
    memory_bytes: Optional[int]
    container: Optional[str]
    virtual: Optional[bool]
    emulated: bool
    python: str
    numpy: str
    os: str
    kernel: str
    libc: Optional[str]


def probe(proc: Path = PROC, sys: Path = SYS) -> Environment:
    """Read everything that stays the same."""
    info = _cpuinfo(proc)
    cpus = _affinity()
    flags = _flags(info)
    return Environment(
        architecture=platform.machine(),
        cpu=_cpu_name(info),
        board=_board(proc, sys),
        features=tuple(name for name in FEATURES if name in flags),
        logical_cpus=os.cpu_count(),
        affinity=cpus,
        cores=len(_each_cpu(sys, cpus, "topology/thread_siblings_list", unique=True)) or None,
        cpu_quota=_quota(proc, sys),
        governor="+".join(_each_cpu(sys, cpus, "cpufreq/scaling_governor", unique=True)) or None,
        max_frequency_mhz=max((mhz / 1000 for mhz in _numbers(sys, cpus, "cpufreq/cpuinfo_max_freq")), default=None),
        memory_bytes=_memory_bytes(proc),
        container=_container(proc),
        virtual=_virtual(proc, sys, flags),
        emulated=_emulated(proc, sys) or SOFTWARE_GPU_VARIABLE in os.environ,
        python=platform.python_version(),
        numpy=np.__version__,
        os=_os_name(),
        kernel=f"{platform.system()} {platform.release()}",
        libc=" ".join(platform.libc_ver()).strip() or None,
    )


def snapshot(proc: Path = PROC, sys: Path = SYS) -> Snapshot:
    """Read everything that changes."""
    cpus = _affinity()
    throttles = _numbers(sys, cpus, "thermal_throttle/core_throttle_count")
    flags = throttle_flags(sys)
    return Snapshot(
        monotonic_s=time.monotonic(),
        own_cpu_s=time.process_time(),
        busy_cpu_s=_busy_cpu_s(proc),
        load_average=_load_average(),
        frequency_mhz=frequency_mhz(sys),
        temperature_c=temperature_c(sys),
        throttle_events=int(sum(throttles)) if throttles else None,
        throttled=_throttled(sys, flags),
        throttle_flags=flags,
        quota_stops=_quota_stops(proc, sys),
        memory_available_bytes=_memory_bytes(proc, "MemAvailable"),
    )


def frequency_mhz(sys: Path = SYS) -> Optional[float]:
    """Mean current frequency of the CPUs this process may use; None where the kernel does not tell."""
    found = _numbers(sys, _affinity(), "cpufreq/scaling_cur_freq")
    return sum(found) / len(found) / 1000 if found else None


def foreign_load(before: Snapshot, after: Snapshot) -> Optional[float]:
    """CPU time that other processes used between two snapshots, as a share of one core.

    The kernel counts in ticks of 10 ms, so short intervals read coarsely: 0.25 s has steps of 4 % of a core.

    Returns:
        0.0 for an idle machine, 1.0 for one core kept busy by others; None where ``/proc/stat`` is not readable
        or no time has passed.
    """
    elapsed = after.monotonic_s - before.monotonic_s
    if before.busy_cpu_s is None or after.busy_cpu_s is None or elapsed <= 0:
        return None
    others = (after.busy_cpu_s - before.busy_cpu_s) - (after.own_cpu_s - before.own_cpu_s)
    return max(0.0, others / elapsed)


def _busy_cpu_s(proc: Path) -> Optional[float]:
    """user + nice + system + irq + softirq + steal of the first line (proc_stat(5)); guest time is in user."""
    fields = (_read(proc / "stat") or "").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else None


def _load_average() -> Optional[float]:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _affinity() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))  # macOS has no affinity


def _cpuinfo(proc: Path) -> dict[str, str]:
    """First value of each key of ``/proc/cpuinfo``."""
    found: dict[str, str] = {}
    for line in (_read(proc / "cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found


def _flags(info: dict[str, str]) -> tuple[str, ...]:
    return tuple((info.get("flags") or info.get("Features") or "").split())


def _cpu_name(info: dict[str, str]) -> Optional[str]:
    implementer, part = info.get("CPU implementer"), info.get("CPU part")
    if implementer and part:
        return _ARM_CORES.get((implementer, part), f"Arm {implementer}/{part}")
    if "model name" in info:
        return info["model name"]
    if platform.system() == "Darwin":
        return _command("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or None


def _board(proc: Path, sys: Path) -> Optional[str]:
    for path in (proc / "device-tree" / "model", sys / "firmware" / "devicetree" / "base" / "model"):
        text = _read(path)
        if text:
            return text.strip("\0\n ")
    return None


def _memory_bytes(proc: Path, key: str = "MemTotal") -> Optional[int]:
    found = re.search(rf"^{key}:\s+(\d+) kB", _read(proc / "meminfo") or "", re.MULTILINE)
    if found:
        return int(found.group(1)) * 1024
    if platform.system() == "Darwin" and key == "MemTotal":
        return int(_command("sysctl", "-n", "hw.memsize") or 0) or None
    return None


def _throttled(sys: Path, flags: Optional[int]) -> Optional[bool]:
    """From cooling devices that lower the clock, and the flags of a Raspberry Pi's firmware.

    A cooling device above state 0 is at work (Linux, "Generic Thermal Sysfs driver How To").
    """
    signs = [] if flags is None else [flags & NOW != 0]
    for device in _folders(sys / "class" / "thermal", "cooling_device*"):
        if re.match(r"cpufreq|cpu-|thermal-cpufreq|Processor", _read(device / "type") or ""):
            state = _number(_read(device / "cur_state"))
            signs += [] if state is None else [state > 0]
    return any(signs) if signs else None


def _group(proc: Path, sys: Path) -> tuple[Path, ...]:
    """Folders of this process's control group, the own one first (cgroups(7); version 2, else 1's ``cpu``)."""
    for line in (_read(proc / "self" / "cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        root = sys / "fs" / "cgroup"
        if number == "0" and (root / "cgroup.controllers").is_file():
            return _upwards(root, path)
        if "cpu" in controllers.split(","):
            return _upwards(root / "cpu", path)
    return ()


def _upwards(root: Path, path: str) -> tuple[Path, ...]:
    own = root / path.strip("/")
    return tuple(folder for folder in (own, *own.parents) if folder == root or root in folder.parents)


def _quota(proc: Path, sys: Path) -> Optional[float]:
    """The tightest limit of the group and those around it: ``cpu.max``, or the two files of version 1."""
    limits = []
    for folder in _group(proc, sys):
        quota, _, period = (_read(folder / "cpu.max") or "").strip().partition(" ")
        allowed = _number(quota) or _number(_read(folder / "cpu.cfs_quota_us"))
        within = _number(period) or _number(_read(folder / "cpu.cfs_period_us"))
        if allowed and within and allowed > 0:
            limits.append(allowed / within)
    return min(limits, default=None)


def _quota_stops(proc: Path, sys: Path) -> Optional[int]:
    for folder in _group(proc, sys):
        found = re.search(r"^nr_throttled (\d+)", _read(folder / "cpu.stat") or "", re.MULTILINE)
        if found:
            return int(found.group(1))
    return None


def _container(proc: Path) -> Optional[str]:
    """From the marks that the engines leave: files at the root and the cgroup paths of process 1."""
    root = proc.parent
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run" / ".containerenv").exists():
        return "podman"
    groups = _read(proc / "1" / "cgroup") or ""
    found = re.search(r"docker|kubepods|containerd|lxc|podman", groups)
    return found.group(0) if found else None


def _virtual(proc: Path, sys: Path, flags: tuple[str, ...]) -> Optional[bool]:
    if "hypervisor" in flags or "dummy-virt" in _compatible(proc, sys):
        return True
    if platform.machine() in ("x86_64", "AMD64") and flags:
        return False
    return None  # Arm has no such flag


def _emulated(proc: Path, sys: Path) -> bool:
    """Whether QEMU emulates this CPU.

    User mode rewrites ``/proc/self/exe`` but not ``/proc/thread-self/exe``, which shows QEMU itself (measured on
    7.2 and 10.0). Full-machine mode shows ``linux,dummy-virt`` in the device tree; an Arm guest under KVM does
    too, and its latency is then called not representative as well, which is the safe side.
    """
    try:
        names = {os.readlink(proc / "self" / "exe"), os.readlink(proc / "thread-self" / "exe")}
    except OSError:
        names = set()
    return len(names) > 1 or "dummy-virt" in _compatible(proc, sys)


def _compatible(proc: Path, sys: Path) -> str:
    tree = _read(proc / "device-tree" / "compatible")
    return tree or _read(sys / "firmware" / "devicetree" / "base" / "compatible") or ""


def _os_name() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read(Path("/etc/os-release")) or "", re.MULTILINE)
    if found:
        return found.group(1)
    return f"macOS {platform.mac_ver()[0]}" if platform.system() == "Darwin" else platform.system()


def _each_cpu(sys: Path, cpus: tuple[int, ...], name: str, *, unique: bool = False) -> list[str]:
    texts = [_read(sys / "devices" / "system" / "cpu" / f"cpu{cpu}" / name) for cpu in cpus]
    found = [text.strip() for text in texts if text]
    return list(dict.fromkeys(found)) if unique else found


def _numbers(sys: Path, cpus: tuple[int, ...], name: str) -> list[float]:
    return [value for value in (_number(text) for text in _each_cpu(sys, cpus, name)) if value is not None]


def _number(text: Optional[str]) -> Optional[float]:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _folders(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _read(path: Path) -> Optional[str]:
    """Text of a kernel file; None where it is absent, forbidden, or the sensor behind it does not answer."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _command(*words: str) -> Optional[str]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
