"""This machine."""

from __future__ import annotations

import os

from edgekit.devices.base import CPUS_VARIABLE, Device, DeviceSpec
from edgekit.devices.software_gpu import software_gpu
from edgekit.errors import UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions, RuntimeRow
from edgekit.runtimes.cpus import choose_cpus, show_cpus

#: More inference threads than this for each CPU only wait for each other.
THREADS_PER_CPU = 4


class LocalDevice(Device):
    """This machine and this interpreter.

    ``cpus=`` pins every engine process to those CPUs; ``gpu=software`` gives it a GPU that computes on the CPU.
    """

    def __init__(self, spec: DeviceSpec) -> None:
        self.name = spec.text
        self._spec = spec

    def options(self) -> OpenOptions:
        """Pinned precision, and the threads that the spec asks for."""
        return OpenOptions(threads=self._spec.threads)

    def context(self) -> Context:
        """A process of this interpreter.

        Raises:
            MissingError, UsageError: see `local_env`.
        """
        return Context(self.name, local_env(self._spec))

    def require(self, runtime: RuntimeRow) -> None:
        """Refuse an engine that this environment does not have.

        Raises:
            MissingError: with the command that installs it.
        """
        runtime.require()


def local_env(spec: DeviceSpec) -> dict[str, str]:
    """The variables of a process on this machine: the CPUs that it is pinned to, and the GPU that it sees.

    Raises:
        MissingError: a software GPU is not there.
        UsageError: a CPU is not there, this process may not use it, or this operating system cannot pin processes;
            there are far more threads than CPUs; or there is no such GPU.
    """
    env: dict[str, str] = {}
    cpus = None if spec.cpus is None else choose_cpus(spec.cpus)
    _refuse_many(spec.threads, len(cpus) if cpus is not None else os.cpu_count() or 1)
    if cpus is not None:  # the words stay: engines then get one thread for each core of a cluster
        env[CPUS_VARIABLE] = spec.cpus if spec.cpus in ("big", "little") else show_cpus(cpus)
    gpu = spec.options.get("gpu")
    if gpu is not None:
        if gpu != "software":
            raise UsageError(
                "bad-device-option",
                "gpu= takes one value: software. A GPU in hardware needs no option.",
                received=spec.text,
                hint=f"For example: {spec.kind}?gpu=software",
            )
        env.update(software_gpu())
    return env


def _refuse_many(threads: int | None, cpus: int) -> None:
    if threads is not None and threads > THREADS_PER_CPU * cpus:
        raise UsageError(
            "too-many-threads",
            f"{threads} threads on {cpus} CPU{'s' if cpus > 1 else ''} would only wait for each other.",
            received=str(threads),
            hint=f"Give --threads {cpus}, or leave it out for the engine's own choice.",
        )
