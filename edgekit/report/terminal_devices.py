"""Devices as Rich renderables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgekit.report import text
from edgekit.report.terminal_facts import fact_table, memory

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgekit.devices.inventory import Devices, ListedDevice
    from edgekit.runtimes.environment import Environment
    from edgekit.runtimes.probing import DeviceFacts, EngineFacts


def devices_view(result: Devices) -> RenderableType:
    """Each device with what it said, or the names alone."""
    from rich.console import Group
    from rich.text import Text

    asked = [row for row in result.devices if row.facts is not None or row.problem is not None]
    if asked:
        return Group(*(part for row in asked for part in _asked(row)))
    names = fact_table({row.name: _meaning(row) for row in result.devices})
    return Group(names, *([Text(f"Written to {result.file}.", style="dim")] if result.file else []))


def _meaning(row: ListedDevice) -> str:
    return "this machine" if row.origin == "built-in" else f"{row.spec} ({row.origin})"


def _asked(row: ListedDevice) -> Iterator[RenderableType]:
    from rich.text import Text

    title = row.name if row.spec == row.name else f"{row.name} ({row.spec})"
    yield Text(title, style="bold")
    if row.problem is not None:
        said = f" Received: {row.problem.received}." if row.problem.received else ""
        yield Text(f"{row.problem.message}{said}\n{row.problem.hint}\n", style="red")
    if row.facts is not None:
        yield fact_table(_facts(row.facts))
        yield Text("")


def _facts(facts: DeviceFacts) -> dict[str, str]:
    machine = facts.environment
    found = {
        "machine": _joined(
            machine.board, machine.cpu, machine.architecture, memory(machine.memory_bytes), _kind(machine)
        ),
        "cores": "; ".join(_cluster(one.cpus, one.capacity, one.max_frequency_mhz) for one in facts.clusters),
        "features": " ".join(machine.features) or "none that matter",
        "capabilities": " ".join(facts.hwcap) if facts.hwcap else "",
        "now": _now(facts),
        "disk": f"{text.size(facts.disk_free_bytes)} free",
        "system": _joined(machine.os, machine.kernel, machine.libc),
        "python": f"{machine.python} ({facts.python}), numpy {machine.numpy}",
        **{engine.name: _engine(engine) for engine in facts.engines},
    }
    return {name: value for name, value in found.items() if value}


def _kind(machine: Environment) -> str:
    if machine.emulated:
        return "emulated: its latency means nothing"
    if machine.container:
        return f"container ({machine.container})"
    return "virtual machine" if machine.virtual else ""


def _cluster(cpus: tuple[int, ...], capacity: int | None, mhz: float | None) -> str:
    rest = _joined(f"capacity {capacity}" if capacity else None, f"up to {mhz:.0f} MHz" if mhz else None)
    return f"{len(cpus)} (CPU {_ranges(cpus)}{', ' + rest if rest else ''})"


def _ranges(cpus: tuple[int, ...]) -> str:
    """``0-3,6`` for 0, 1, 2, 3 and 6."""
    starts = [cpu for cpu in cpus if cpu - 1 not in cpus]
    ends = [cpu for cpu in cpus if cpu + 1 not in cpus]
    return ",".join(
        str(first) if first == last else f"{first}-{last}" for first, last in zip(starts, ends, strict=True)
    )


def _now(facts: DeviceFacts) -> str:
    now, governor = facts.now, facts.environment.governor
    return _joined(
        f"governor {governor}" if governor else None,
        f"{now.frequency_mhz:.0f} MHz" if now.frequency_mhz else None,
        f"{now.temperature_c:.0f} °C" if now.temperature_c is not None else None,
        f"load {now.load_average:.2f}" if now.load_average is not None else None,
    )


def _engine(engine: EngineFacts) -> str:
    if engine.problem is not None:
        return f"does not work: {engine.problem}"
    if engine.version is None:
        return "not installed"
    on = f", runs on {', '.join(engine.accelerators)}" if engine.accelerators else ""
    return f"{engine.version}{on}"


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)
