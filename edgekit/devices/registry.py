"""Which devices there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgekit.devices.base import Device, DeviceSpec, parse_spec
from edgekit.errors import UsageError
from edgekit.registry import Registry, Row


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


def open_device(text: str, *, threads: int | None = None) -> Device:
    """The device of a spec.

    Args:
        text: such as ``local`` or ``local?cpus=0``.
        threads: inference threads; None for those of the spec.

    Raises:
        UsageError: no such device, a bad option, or two different numbers of threads.
    """
    spec = parse_device(text)
    if threads is not None:
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
