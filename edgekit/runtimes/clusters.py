"""Which cores of a machine are alike. Part of the device core.

An inference that spreads over cores of two kinds is as slow as the slowest of them and differs from run to run, so
timings are pinned to one kind.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from edgekit.runtimes.base import OpenOptions

SYS = Path("/sys")

#: Cores of one kind have a highest clock within this share of each other: some x86 CPUs favour single cores a little.
FREQUENCY_SHARE = 0.15


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind.

    Attributes:
        cpus: their numbers.
        capacity: the kernel's measure of their speed, 1024 for the fastest of the machine; None where it has none.
        max_frequency_mhz: highest clock of any of them.
    """

    cpus: tuple[int, ...]
    capacity: Optional[int]
    max_frequency_mhz: Optional[float]


def clusters(sys: Path = SYS) -> tuple[Cluster, ...]:
    """Cores that are online by kind, the fastest kind first.

    By ``cpu_capacity`` (Linux, Documentation/scheduler/sched-capacity.rst), ties by the highest clock; where an x86
    kernel names performance and efficiency cores (``/sys/devices/cpu_core``, ``cpu_atom``), those count.
    """
    hybrid = [numbers(_text(sys / "devices" / name / "cpus")) for name in ("cpu_core", "cpu_atom")]
    if all(hybrid):
        return tuple(_cluster(sys, cpus) for cpus in hybrid)
    found: list[list[int]] = []
    for cpu in sorted(_online(sys), key=lambda cpu: (-(_capacity(sys, cpu) or 0), -(_khz(sys, cpu) or 0), cpu)):
        if found and _alike(sys, found[-1][0], cpu):
            found[-1].append(cpu)
        else:
            found.append([cpu])
    return tuple(_cluster(sys, tuple(sorted(cpus))) for cpus in found)


def on_cluster(options: OpenOptions) -> OpenOptions:
    """One thread for each core, where this process was pinned to a kind of cores and the user left the number open.

    Engines count the cores of the machine, and more threads than cores wait for each other.
    """
    if options.threads is not None or os.environ.get("EDGEKIT_CPUS") not in ("big", "little"):
        return options
    return replace(options, threads=len(os.sched_getaffinity(0)))


def numbers(text: Optional[str]) -> tuple[int, ...]:
    """CPU numbers of a kernel's list, such as ``0-3,6``."""
    found: list[int] = []
    for part in (text or "").strip().split(","):
        match = re.match(r"(\d+)(?:-(\d+))?\Z", part)
        if match:
            found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(found)


def _cluster(sys: Path, cpus: tuple[int, ...]) -> Cluster:
    frequencies = [khz for khz in (_khz(sys, cpu) for cpu in cpus) if khz]
    return Cluster(cpus, _capacity(sys, cpus[0]), max(frequencies) / 1000 if frequencies else None)


def _alike(sys: Path, one: int, other: int) -> bool:
    """Whether a core is of the same kind as a faster one."""
    if _capacity(sys, one) != _capacity(sys, other):
        return False
    fast, slow = _khz(sys, one), _khz(sys, other)
    return fast is None or slow is None or slow >= (1 - FREQUENCY_SHARE) * fast


def _online(sys: Path) -> tuple[int, ...]:
    return numbers(_text(sys / "devices" / "system" / "cpu" / "online"))


def _capacity(sys: Path, cpu: int) -> Optional[int]:
    return _number(sys, cpu, "cpu_capacity")


def _khz(sys: Path, cpu: int) -> Optional[int]:
    return _number(sys, cpu, "cpufreq/cpuinfo_max_freq")


def _number(sys: Path, cpu: int, name: str) -> Optional[int]:
    text = (_text(sys / "devices" / "system" / "cpu" / f"cpu{cpu}" / name) or "").strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> Optional[str]:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
