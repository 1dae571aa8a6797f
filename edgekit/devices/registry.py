"""Which devices there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from edgekit.devices.base import Device, DeviceSpec, kind_of, parse_spec
from edgekit.devices.names import named_devices, resolved
from edgekit.errors import UsageError
from edgekit.registry import Registry, Row
from edgekit.runtimes.cpus import check_cpus


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
    try:
        row = DEVICES[kind_of(meant)]
    except UsageError as err:
        names = ", ".join(sorted(named_devices())) or "none so far"
        hint = f"{err.hint} Or a name of yours: {names}."
        raise UsageError(err.code, err.message, received=text, hint=hint) from err
    spec = replace(parse_spec(meant, row.options), text=text)
    if spec.address and not row.addressed:
        raise UsageError(
            "bad-device-option",
            f"the device {row.name} takes no address.",
            received=text,
            hint=f"For example: {row.name}?threads=1",
        )
    return spec


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


@contextmanager
def opened_devices(
    texts: str | Sequence[str], *, threads: int | None = None, cpus: str | None = None
) -> Iterator[tuple[Device, ...]]:
    """The devices of a command, in order, until it ends; see `open_device`."""
    with ExitStack() as stack:
        devices = []
        for text in dict.fromkeys((texts,) if isinstance(texts, str) else texts):
            device = open_device(text, threads=threads, cpus=cpus)
            stack.callback(device.close)
            devices.append(device)
        yield tuple(devices)
