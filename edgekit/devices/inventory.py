"""`edgekit devices`: which devices have names, and what each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from edgekit.devices.base import Device
from edgekit.devices.names import add_name, named_devices, remove_name
from edgekit.devices.registry import DEVICES, open_device, opened_devices
from edgekit.errors import EdgekitError, UsageError
from edgekit.progress import SILENT, Reporter
from edgekit.results import Result
from edgekit.runtimes.probing import DeviceFacts, ProbeJob
from edgekit.workbench import Workbench, workbench


@dataclass(frozen=True, slots=True)
class DeviceProblem:
    """Why a device could not be asked; as an error, see `edgekit.errors`."""

    code: str
    message: str
    received: str | None
    hint: str


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """One device.

    Attributes:
        name: as it is given to ``--device``.
        spec: what the name stands for.
        origin: ``project`` or ``user``, which named it; ``given`` on the command line; ``built-in``.
        facts: what it is; None where it was not asked or did not answer.
        problem: why it did not.
    """

    name: str
    spec: str
    origin: str
    facts: DeviceFacts | None = None
    problem: DeviceProblem | None = None


@dataclass(frozen=True, slots=True)
class Devices(Result):
    """What the functions of this module return.

    Attributes:
        ok: whether every device that was asked has answered.
        file: the user's configuration that was written; None where nothing was.
    """

    schema: ClassVar[str] = "edgekit.devices/1"
    exit_code: ClassVar[int] = 3
    ok: bool
    devices: tuple[ListedDevice, ...]
    file: str | None = None


def list_devices() -> Devices:
    """This machine and every name; none of them is asked."""
    names = [ListedDevice(one.name, one.spec, one.origin) for one in named_devices().values()]
    return Devices(True, (ListedDevice("local", "local", "built-in"), *names))


def add_device(name: str, spec: str) -> Devices:
    """Name a device in the user's configuration.

    Raises:
        UsageError: the name is that of a kind of devices or is none, or the spec is none.
    """
    if name in DEVICES.rows():
        raise UsageError(
            "bad-device-name",
            "this is the name of a kind of devices.",
            received=name,
            hint=f"Choose another than: {', '.join(DEVICES.rows())}.",
        )
    open_device(spec).close()  # nothing is reached yet: a bad spec is refused now, not when it is used
    path = add_name(name, spec)
    return Devices(True, (ListedDevice(name, spec, "user"),), str(path))


def remove_device(name: str) -> Devices:
    """Forget a name of the user's configuration.

    Raises:
        UsageError: there is no such name there.
    """
    return Devices(True, (), str(remove_name(name)))


def probe_devices(texts: Sequence[str], *, reporter: Reporter = SILENT) -> Devices:
    """Ask devices what they are and have, side by side.

    Args:
        texts: specs or names; every named device and this machine where there is none.
        reporter: receives progress.

    Raises:
        UsageError: one is no device.
        EdgekitError: the only one that was named does not answer; of several, the rows say so.
    """
    known = {one.name: one for one in list_devices().devices}
    wanted = list(dict.fromkeys(texts)) or list(known)
    rows = [known.get(text, ListedDevice(text, text, "given")) for text in wanted]
    with opened_devices(wanted) as places, workbench(reporter) as bench:

        def ask(index: int) -> DeviceFacts | EdgekitError:
            return _ask(places[index], bench)

        answers = bench.side_by_side(ask, range(len(wanted)))
    if len(texts) == 1 and isinstance(answers[0], EdgekitError):
        raise answers[0]
    found = tuple(_row(row, answer) for row, answer in zip(rows, answers, strict=True))
    return Devices(all(row.problem is None for row in found), found)


def _ask(device: Device, bench: Workbench) -> DeviceFacts | EdgekitError:
    with bench.reporter.task(f"ask {device.name}") as update:
        try:
            return bench.executor.run_fresh(ProbeJob(), device.context(), update)
        except EdgekitError as error:
            return error


def _row(row: ListedDevice, answer: DeviceFacts | EdgekitError) -> ListedDevice:
    if isinstance(answer, EdgekitError):
        problem = DeviceProblem(answer.code, answer.message, answer.received, answer.hint)
        return ListedDevice(row.name, row.spec, row.origin, problem=problem)
    return ListedDevice(row.name, row.spec, row.origin, facts=answer)
