"""Machines and model files as Rich renderables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.report import text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from edgekit.devices.doctor import Doctor, Package
    from edgekit.inspection import Inspection


def doctor_view(result: Doctor) -> RenderableType:
    """This environment: what is there, what is missing, and what to know."""
    from rich.console import Group
    from rich.text import Text

    machine = result.machine
    facts = fact_table(
        {
            "edgekit": f"{result.edgekit}, Python {result.python}",
            "machine": ", ".join(
                part
                for part in (
                    machine.board,
                    machine.cpu or machine.architecture,
                    f"{len(machine.affinity)} CPUs usable",
                    memory(machine.memory_bytes),
                )
                if part
            ),
            "features": " ".join(machine.features) or "none that matter",
            "system": ", ".join(part for part in (machine.os, machine.kernel, machine.libc) if part),
            **{f"{engine} runs on": ", ".join(devices) for engine, devices in result.accelerators.items()},
        }
    )
    notes = Text("\n".join(f"- {note}" for note in result.notes))
    verdict = Text("Ready.", style="green") if result.ok else Text("No engine works here.", style="bold red")
    return Group(facts, _extras(result), *([notes] if result.notes else []), verdict)


def inspection_view(result: Inspection) -> RenderableType:
    """One model file, and the code that runs it."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.text import Text

    signature = result.signature
    quantized = {
        name: f"stored as {found.dtype}, scale {found.scale:.6g}, zero point {found.zero_point}"
        for name, found in result.quantization.items()
    }
    versions = ", ".join(f"{name} {version}" for name, version in result.format.items())
    facts = fact_table(
        {
            "kind": f"{result.kind}, {result.precision or 'precision unknown'}, {text.size(result.size_bytes)}",
            "format": versions or "unknown",
            "parameters": f"{result.parameters:,}" if result.parameters is not None else "unknown",
            "operations": text.flops(result.flops) if result.flops is not None else "not known",
            "inputs": "\n".join(map(str, signature.inputs)),
            "outputs": "\n".join(map(str, signature.outputs)),
            **quantized,
            "operators": ", ".join(f"{name} {count}" for name, count in result.operators.items()) or "unknown",
            "opened with": result.engine,
            "install": result.needs,
        }
    )
    notes = [Text(f"- {note}") for note in result.notes]
    code = Syntax(result.snippet.rstrip(), "python", theme="ansi_dark", background_color="default", word_wrap=True)
    title = Text(result.path, style="bold")
    return Group(title, facts, *notes, Text("\nRun it without edgekit:", style="bold"), Padding(code, (0, 0, 0, 2)))


def _extras(result: Doctor) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in ("For", "Extra", "Installed", "To complete it"):
        table.add_column(name, overflow="fold")
    for extra in result.extras:
        found = Text(", ").join(_package(package) for package in extra.packages)
        table.add_row(extra.group, Text(extra.name), found, Text(extra.install or ""))
    return table


def _package(package: Package) -> Text:
    from rich.text import Text

    if package.state == "missing":
        return Text(f"no {package.name}", style="yellow")
    old = f" (needs {package.least})" if package.state == "too old" else ""
    return Text(f"{package.name} {package.version}{old}", style="red" if old else "")


def fact_table(facts: dict[str, str]) -> Table:
    """Names and what is known of each."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=False, max_width=26, overflow="fold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text(value))
    return table


def memory(count: int | None) -> str:
    """A machine's memory in words; empty where it is not known."""
    return f"{count / 2**30:.1f} GiB memory" if count else ""
