"""Which devices there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from edgekit.devices.base import Device, DeviceSpec, kind_of, parse_spec
from edgekit.devices.names import resolved
from edgekit.errors import UsageError
from edgekit.registry import Registry, Row


@dataclass(frozen=True)
class DeviceRow(Row):
    """A kind of device, described without importing it.

    Attributes:
        options: names that may follow the ``?`` of a spec.
        addressed: whether something stands between the kind and the options, such as a path or a host.
    """

    options: tuple[str, ...] = ()
    addressed: bool = True


DEVICES = Registry[DeviceRow](
    "device",
    "edgekit.devices",
    (
        DeviceRow(
            "local", "edgekit.devices.local:LocalDevice", "onnxruntime", (), ("cpus", "threads", "gpu"), addressed=False
        ),
        DeviceRow("python", "edgekit.devices.interpreter:PythonDevice", "onnxruntime", (), ("cpus", "threads", "gpu")),
        DeviceRow(
            "ssh",
            "edgekit.devices.ssh.device:SshDevice",
            "onnxruntime",
            (),
            options=("python", "cpus", "threads", "governor", "folder", "config"),
        ),
        DeviceRow(
            "qemu", "edgekit.devices.emulated.device:EmulatedDevice", "onnxruntime", (), ("cpu", "suite", "threads")
        ),
    ),
)


def parse_device(text: str) -> DeviceSpec:
    """Read a device spec, or the name of one.

    Raises:
        UsageError: no such kind of device, or an option that it does not have.
    """
    meant = resolved(text)
    row = DEVICES[kind_of(meant)]
    spec = replace(parse_spec(meant, row.options), text=text)
    if spec.address and not row.addressed:
        raise UsageError(
            "bad-device-option",
            f"the device {row.name} takes no address.",
            received=text,
            hint=f"For example: {row.name}?threads=1",
        )
    return spec


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


@contextmanager
def opened_devices(texts: str | Sequence[str], *, threads: int | None = None) -> Iterator[tuple[Device, ...]]:
    """The devices of a command, in order, until it ends; see `open_device`."""
    with ExitStack() as stack:
        devices = []
        for text in dict.fromkeys((texts,) if isinstance(texts, str) else texts):
            device = open_device(text, threads=threads)
            stack.callback(device.close)
            devices.append(device)
        yield tuple(devices)
