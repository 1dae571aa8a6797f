"""What every device is: a place where engine jobs run, and the words that users name it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

from edgekit.errors import UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.cpus import check_cpus

#: CPUs that a worker pins itself to, joined by commas; read in `edgekit.jobs.worker`.
CPUS_VARIABLE = "EDGEKIT_CPUS"


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device as the user named it, such as ``local?cpus=0,2-3&threads=1``.

    Attributes:
        text: the whole of it.
        kind: name in the registry.
        cpus: CPUs to pin to, see `edgekit.runtimes.cpus`; None for any.
        threads: inference threads; None is the engine's own choice.
    """

    text: str
    kind: str
    cpus: str | None
    threads: int | None


class Device(Protocol):
    """A place where engine jobs run.

    Attributes:
        name: as the user gave it; it stands in results.
    """

    name: str

    def options(self) -> OpenOptions:
        """How engines open artifacts there."""

    def context(self) -> Context:
        """The process that engine jobs run in.

        Raises:
            MissingError: the device is not reachable, or lacks what the spec asks for.
        """


def parse_spec(text: str, allowed: Sequence[str]) -> DeviceSpec:
    """Read a device spec.

    Args:
        text: such as ``local?cpus=0``.
        allowed: options that this kind of device has.

    Raises:
        UsageError: an option that it does not have, one given twice, or a bad value.
    """
    kind, _, query = text.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in options]
    if not set(names) <= set(allowed) or len(set(names)) < len(names) or (query and not options):
        raise UsageError(
            "bad-device-option",
            f"the device {kind} takes each of these options once: {', '.join(allowed)}.",
            received=text,
            hint=f"For example: {kind}?cpus=0&threads=1",
        )
    values = dict(options)
    return DeviceSpec(text, kind, _cpus(values, text), _threads(values, text))


def _cpus(values: Mapping[str, str], text: str) -> str | None:
    value = values.get("cpus")
    if value is not None:
        try:
            check_cpus(value)
        except UsageError as err:
            raise UsageError("bad-device-option", err.message, received=text, hint="For example: cpus=0,2-3") from err
    return value


def _threads(values: Mapping[str, str], text: str) -> int | None:
    value = values.get("threads")
    if value is None:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(
            "bad-device-option", "threads= takes a number of at least 1.", received=text, hint="For example: threads=1"
        )
    return int(value)
