"""What every device is: a place where engine jobs run, and the words that users name it by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from edgekit.errors import UsageError
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions, RuntimeRow
from edgekit.runtimes.cpus import check_cpus

#: CPUs that a worker pins itself to, joined by commas; read in `edgekit.jobs.worker`.
CPUS_VARIABLE = "EDGEKIT_CPUS"

#: Kind, address and options of a spec: ``python:/usr/bin/python3?threads=1``, ``ssh://user@host:22``, ``local?cpus=0``.
_SPEC = re.compile(r"(?P<kind>[a-z0-9_-]+)(?::(?://)?(?P<address>[^?]*))?(?:\?(?P<options>.*))?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device as the user named it, such as ``local?cpus=0,2-3&threads=1`` or ``python:/opt/py39/bin/python``.

    Attributes:
        text: the whole of it.
        kind: name in the registry.
        cpus: CPUs to pin to, see `edgekit.runtimes.cpus`; None for any.
        threads: inference threads; None is the engine's own choice.
        address: what stands between the kind and the options, without ``:`` or ``://``; empty where there is none.
        options: the other options, by name.
    """

    text: str
    kind: str
    cpus: str | None
    threads: int | None
    address: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


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

    def require(self, runtime: RuntimeRow) -> None:
        """Refuse a runtime that cannot work there, as far as that is known without asking the device.

        Nothing by default: a device with an environment of its own says in the job what it lacks.

        Raises:
            MissingError: a package is not installed.
        """

    def serves(self, runtime: RuntimeRow) -> bool:
        """Whether it is for the artifacts of a runtime: of all, unless ``--runtime`` names others."""
        return True

    def close(self) -> None:
        """Give back what the device holds: a connection, an emulated board; nothing by default. Safe to call twice."""


def kind_of(text: str) -> str:
    """The kind that a spec begins with: ``python`` of ``python:/usr/bin/python3``. The whole of what is no spec."""
    match = _SPEC.match(text)
    return match["kind"] if match else text


def parse_spec(text: str, allowed: Sequence[str]) -> DeviceSpec:
    """Read a device spec.

    Args:
        text: such as ``local?cpus=0``.
        allowed: options that this kind of device has.

    Raises:
        UsageError: an option that it does not have, one given twice, or a bad value.
    """
    match = _SPEC.match(text)
    kind, address, query = (match["kind"], match["address"], match["options"]) if match else (text, None, None)
    options = parse_qsl(query or "", keep_blank_values=True)
    names = [name for name, _ in options]
    if not set(names) <= set(allowed) or len(set(names)) < len(names) or (query and not options):
        raise UsageError(
            "bad-device-option",
            f"the device {kind} takes each of these options once: {', '.join(allowed)}.",
            received=text,
            hint=f"For example: {kind}?cpus=0&threads=1",
        )
    values = dict(options)
    others = {name: value for name, value in values.items() if name not in ("cpus", "threads")}
    return DeviceSpec(text, kind, _cpus(values, text), _threads(values, text), address or "", others)


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
