"""Which CPUs to pin to: numbers, or what big.LITTLE machines call their clusters. Part of the device core."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

from edgekit.errors import UsageError
from edgekit.runtimes.environment import SYS

#: What stands for CPUs besides their numbers.
CPU_WORDS = ("big", "little", "one")

#: CPUs whose capacity or highest clock is within this share of each other are of one cluster: favoured cores of one
#: kind are clocked some percent higher, where the clusters of a machine differ by a third and more.
SAME_CLUSTER = 0.15

_NUMBERS = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*\Z")


def check_cpus(text: str) -> None:
    """Refuse what names no CPUs on any machine.

    Raises:
        UsageError: neither one of `CPU_WORDS` nor numbers and ranges of them.
    """
    if text not in CPU_WORDS and not (_NUMBERS.match(text) and _numbers(text)):
        raise UsageError(
            "bad-cpus",
            f"CPUs are numbers and ranges, or one of {', '.join(CPU_WORDS)}.",
            received=text,
            hint="For example: --cpus 0,2-3 or --cpus big",
        )


def choose_cpus(text: str, sys: Path = SYS) -> tuple[int, ...]:
    """The CPUs that a text names here.

    ``big`` is the fastest cluster, ``little`` the slowest, ``one`` the last CPU of the fastest: the first CPU of a
    machine serves most interrupts. Clusters are told apart by Intel's lists of performance and efficiency cores, else
    by ``cpu_capacity`` (Linux, "CPU capacity"), else by the highest clock.

    Raises:
        UsageError: it names no CPUs, or some that are not there or that this process may not use; there is no little
            cluster; or this operating system cannot pin.
    """
    check_cpus(text)
    if not hasattr(os, "sched_getaffinity"):
        raise UsageError("no-pinning", "only Linux can pin a process to CPUs.", received=text, hint="Leave --cpus out.")
    usable = tuple(sorted(os.sched_getaffinity(0)))
    if text not in CPU_WORDS:
        return _allowed(text, _numbers(text), usable)
    big, little = _clusters(usable, sys)
    if text == "little" and not little:
        raise UsageError(
            "no-little-cpus",
            "all CPUs that this process may use are alike.",
            received=text,
            hint=f"Leave --cpus out, or choose from: {show_cpus(usable)}.",
        )
    return {"big": big, "little": little, "one": big[-1:]}[text]


def show_cpus(cpus: Iterable[int]) -> str:
    """CPU numbers as people write them: ``0,2-3``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _numbers(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def _allowed(text: str, asked: Sequence[int], usable: Sequence[int]) -> tuple[int, ...]:
    absent = [cpu for cpu in asked if cpu not in usable]
    if absent:
        raise UsageError(
            "no-such-cpu",
            f"this process may not use CPU {show_cpus(absent)}, or there is none of that number.",
            received=text,
            hint=f"Choose from: {show_cpus(usable)}.",
        )
    return tuple(asked)


def _clusters(usable: Sequence[int], sys: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The fastest and the slowest cluster; the second is empty where all are alike."""
    efficient = _list_in(sys / "devices" / "cpu_atom" / "cpus")
    if efficient is not None:
        big = tuple(cpu for cpu in usable if cpu not in efficient)
        little = tuple(cpu for cpu in usable if cpu in efficient)
        return (big, little) if big else (little, ())
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        ranks = {cpu: _rank(sys, cpu, name) for cpu in usable}
        high, low = max(ranks.values()), min(ranks.values())
        if low < (1 - SAME_CLUSTER) * high:
            return (
                tuple(cpu for cpu in usable if ranks[cpu] >= (1 - SAME_CLUSTER) * high),
                tuple(cpu for cpu in usable if ranks[cpu] <= low / (1 - SAME_CLUSTER)),
            )
    return tuple(usable), ()


def _rank(sys: Path, cpu: int, name: str) -> int:
    try:
        return int((sys / "devices" / "system" / "cpu" / f"cpu{cpu}" / name).read_text())
    except (OSError, ValueError):
        return 0


def _list_in(path: Path) -> Optional[tuple[int, ...]]:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return _numbers(text) if _NUMBERS.match(text) else None
