"""This machine."""

from __future__ import annotations

import os

from edgekit.devices.base import CPUS_VARIABLE, DeviceSpec
from edgekit.errors import UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.cpus import choose_cpus

#: More inference threads than this for each CPU only wait for each other.
THREADS_PER_CPU = 4


class LocalDevice:
    """This machine and this interpreter; ``cpus=`` pins every engine process to those CPUs."""

    def __init__(self, spec: DeviceSpec) -> None:
        self.name = spec.text
        self._cpus = spec.cpus
        self._threads = spec.threads

    def options(self) -> OpenOptions:
        """Pinned precision, and the threads that the spec asks for."""
        return OpenOptions(threads=self._threads)

    def context(self) -> Context:
        """A process of this interpreter, pinned where the spec asks for it.

        Raises:
            UsageError: a CPU is not there, this process may not use it, or this operating system cannot pin
                processes; or there are far more threads than CPUs.
        """
        cpus = None if self._cpus is None else choose_cpus(self._cpus)
        _refuse_many(self._threads, len(cpus) if cpus is not None else os.cpu_count() or 1)
        return Context(self.name) if cpus is None else Context(self.name, {CPUS_VARIABLE: ",".join(map(str, cpus))})


def _refuse_many(threads: int | None, cpus: int) -> None:
    if threads is not None and threads > THREADS_PER_CPU * cpus:
        raise UsageError(
            "too-many-threads",
            f"{threads} threads on {cpus} CPU{'s' if cpus > 1 else ''} would only wait for each other.",
            received=str(threads),
            hint=f"Give --threads {cpus}, or leave it out for the engine's own choice.",
        )
