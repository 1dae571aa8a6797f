"""This machine."""

from __future__ import annotations

import os

from edgekit.devices.base import CPUS_VARIABLE, Device, DeviceSpec
from edgekit.devices.software_gpu import software_gpu
from edgekit.errors import MissingError, UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions, RuntimeRow


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
        MissingError: a CPU or a software GPU is not there, or this process may not use it.
        UsageError: this operating system cannot pin processes, or there is no such GPU.
    """
    env: dict[str, str] = {}
    if spec.cluster:
        env[CPUS_VARIABLE] = spec.cluster  # the worker looks which CPUs these are
    elif spec.cpus is not None:
        env[CPUS_VARIABLE] = ",".join(map(str, _usable(spec.cpus, spec.text)))
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


def _usable(cpus: tuple[int, ...], text: str) -> tuple[int, ...]:
    if not hasattr(os, "sched_getaffinity"):
        raise UsageError(
            "no-pinning",
            "only Linux can pin a process to CPUs.",
            received=text,
            hint="Leave out cpus=, or give threads=.",
        )
    usable = os.sched_getaffinity(0)
    absent = [str(cpu) for cpu in cpus if cpu not in usable]
    if absent:
        raise MissingError(
            "no-such-cpu",
            f"this process may not use CPU {', '.join(absent)}.",
            received=text,
            hint=f"Choose from: {', '.join(map(str, sorted(usable)))}.",
        )
    return cpus
