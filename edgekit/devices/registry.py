"""Which devices there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgekit.devices.base import Device, DeviceSpec, parse_spec
from edgekit.errors import UsageError
from edgekit.registry import Registry, Row
from edgekit.runtimes.cpus import check_cpus


@dataclass(frozen=True)
class DeviceRow(Row):
    """A kind of device, described without importing it.

    Attributes:
        options: names that may follow the ``?`` of a spec.
    """

    options: tuple[str, ...] = ()


DEVICES = Registry[DeviceRow](
    "device",
    "edgekit.devices",
    (DeviceRow("local", "edgekit.devices.local:LocalDevice", "onnxruntime", (), options=("cpus", "threads")),),
)


def parse_device(text: str) -> DeviceSpec:
    """Read a device spec.

    Raises:
        UsageError: no such kind of device, or an option that it does not have.
    """
    return parse_spec(text, DEVICES[text.partition("?")[0]].options)


def open_device(text: str, *, threads: int | None = None, cpus: str | None = None) -> Device:
    """The device of a spec.

    Args:
        text: such as ``local`` or ``local?cpus=0``.
        threads: inference threads; None for those of the spec.
        cpus: CPUs to pin to, such as ``0,2-3`` or ``big``; None for those of the spec.

    Raises:
        UsageError: no such device, a bad option, or two different numbers of threads or sets of CPUs.
    """
    spec = parse_device(text)
    if cpus is not None:
        check_cpus(cpus)
        if spec.cpus not in (None, cpus):
            raise UsageError(
                "two-sets-of-cpus",
                "the device spec and --cpus ask for different CPUs.",
                received=f"{text} and {cpus}",
                hint="Give one of them.",
            )
        spec = replace(spec, cpus=cpus)
    if threads is not None:
        if threads < 1:
            raise UsageError(
                "bad-threads",
                "the number of threads is at least 1.",
                received=str(threads),
                hint="Leave --threads out for the engine's own choice.",
            )
        if spec.threads not in (None, threads):
            raise UsageError(
                "two-thread-counts",
                "the device spec and --threads ask for different numbers of threads.",
                received=f"{text} and {threads}",
                hint="Give one of them.",
            )
        spec = replace(spec, threads=threads)
    make: Callable[[DeviceSpec], Device] = DEVICES[spec.kind].load()
    return make(spec)
