"""This machine."""

from __future__ import annotations

import os

from edgekit.devices.base import CPUS_VARIABLE, DeviceSpec
from edgekit.errors import MissingError, UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions


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
            MissingError: a CPU is not there, or this process may not use it.
            UsageError: this operating system cannot pin processes.
        """
        if self._cpus is None:
            return Context(self.name)
        if not hasattr(os, "sched_getaffinity"):
            raise UsageError(
                "no-pinning",
                "only Linux can pin a process to CPUs.",
                received=self.name,
                hint="Leave out cpus=, or give threads=.",
            )
        usable = os.sched_getaffinity(0)
        absent = [str(cpu) for cpu in self._cpus if cpu not in usable]
        if absent:
            raise MissingError(
                "no-such-cpu",
                f"this process may not use CPU {', '.join(absent)}.",
                received=self.name,
                hint=f"Choose from: {', '.join(map(str, sorted(usable)))}.",
            )
        return Context(self.name, {CPUS_VARIABLE: ",".join(map(str, self._cpus))})
