"""A device that was prepared, as Rich renderables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgekit.devices.preparation.prepare import PreparedEngine, PrepareResult

_STYLES = {"ready": "green", "broken": "bold red", "left out": "yellow"}


def prepare_view(result: PrepareResult) -> RenderableType:
    """Its engines with their versions, and what to know about them."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in ("Engine", "There", "Here", "State"):
        table.add_column(name, overflow="fold")
    for engine in result.engines:
        state = Text(_state(engine), style=_STYLES[engine.state])
        table.add_row(engine.runtime, engine.version or "–", engine.host_version or "–", state)
    sent = f"{result.sent_bytes / 1e6:.0f} MB sent" if result.sent_bytes else "nothing had to be sent"
    packages = f"{len(result.packages)} packages for {result.target}"
    title = Text.assemble((result.device, "bold"), f"\n{packages}, {sent}, {result.seconds:.1f} s")
    return Group(title, table, *(Text(f"- {note}") for note in result.notes))


def _state(engine: PreparedEngine) -> str:
    return f"{engine.state}: {engine.reason}" if engine.reason else engine.state
