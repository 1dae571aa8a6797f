"""What a device is and has, found out on the device itself. Part of the device core."""

from __future__ import annotations

import shutil
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from edgekit.errors import EdgekitError
from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes.accelerators import accelerators
from edgekit.runtimes.clusters import Cluster, clusters
from edgekit.runtimes.environment import Environment, Snapshot, probe, snapshot
from edgekit.runtimes.registry import RUNTIMES, RuntimeRow

AUXV = Path("/proc/self/auxv")

#: Keys of the hardware capabilities in the auxiliary vector of a process (getauxval(3)).
_AT_HWCAP, _AT_HWCAP2 = 16, 26


@dataclass(frozen=True)
class EngineFacts:
    """One engine there.

    Attributes:
        name: as in the registry of runtimes.
        version: None where it is not installed, or does not work.
        problem: why it does not work; None for one that does, or is not there.
        accelerators: what it can run on, as it reports itself.
    """

    name: str
    version: Optional[str]
    problem: Optional[str]
    accelerators: tuple[str, ...]


@dataclass(frozen=True)
class DeviceFacts:
    """A device.

    Attributes:
        environment: what stays the same.
        now: temperature, clock and load when it was asked.
        hwcap: hardware capabilities that the kernel gives to processes, as hexadecimal numbers; None on other systems
            than Linux. A made-up ``/proc/cpuinfo`` does not change them.
        clusters: cores by kind, the fastest first.
        disk_free_bytes: where edgekit keeps its files there.
        python: path of the interpreter.
        engines: every runtime that can travel.
    """

    environment: Environment
    now: Snapshot
    hwcap: Optional[tuple[str, str]]
    clusters: tuple[Cluster, ...]
    disk_free_bytes: int
    python: str
    engines: tuple[EngineFacts, ...]


@dataclass(frozen=True)
class ProbeJob(Job[DeviceFacts]):
    """Ask a device what it is, and each of its engines."""

    def run(self, work: Workspace) -> DeviceFacts:
        found = accelerators().devices
        return DeviceFacts(
            environment=probe(),
            now=snapshot(),
            hwcap=hardware_capabilities(),
            clusters=clusters(),
            disk_free_bytes=shutil.disk_usage(work.folder).free,
            python=sys.executable,
            engines=tuple(_engine(row, found.get(row.name, ())) for row in RUNTIMES if row.travels),
        )


def hardware_capabilities() -> Optional[tuple[str, str]]:
    """AT_HWCAP and AT_HWCAP2 of this process, such as ``("0x8fb", "0x0")`` on a Cortex-A72."""
    try:
        vector = AUXV.read_bytes()  # glibc's getauxval() gives its own view on x86
    except OSError:
        return None
    values = dict(struct.iter_unpack("NN", vector))
    return hex(values.get(_AT_HWCAP, 0)), hex(values.get(_AT_HWCAP2, 0))


def _engine(row: RuntimeRow, found: tuple[str, ...]) -> EngineFacts:
    if row.missing():
        return EngineFacts(row.name, None, None, ())
    try:
        return EngineFacts(row.name, row.load()().version(), None, found)
    except EdgekitError as err:
        return EngineFacts(row.name, None, err.message, ())
    except Exception as err:  # noqa: BLE001  # a broken engine is a finding, whatever it raises
        return EngineFacts(row.name, None, f"{type(err).__name__}: {err}", ())
