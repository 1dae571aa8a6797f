"""Which layer is to blame, and the layers around it, as Rich renderables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgekit.report import layers, tables, text
from edgekit.report.collect import Summary
from edgekit.report.terminal_parts import plain
from edgekit.results import CheckRow

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

#: Columns whose words give way to figures on a narrow terminal.
_NAMES = ("Layer", "Kind", "Operator")

#: Characters that stay of a name however narrow the terminal is.
_FEWEST = 8

_MARKS = {"culprit": "→", "no": "✗"}
_STYLES = {"culprit": "bold red", "no": "red"}


def layers_view(summary: Summary) -> Iterator[RenderableType]:
    """For each check that looked at layers: who is to blame, how to see it, and the layers around."""
    for check in layers.looked_at(summary):
        for sentence in layers.sentences(check):
            yield plain(sentence, "bold" if check.culprit is not None else "")
        if check.failing is not None:
            yield plain(f"Reproduce it:\n  {check.failing.command}")
        if check.layers:
            yield LayerTable(check)
            yield plain(f"{_left_out(check, summary.kit)}{layers.legend(check)}\n", "dim")


class LayerTable:
    """The layers worth a screen; their names are shortened until the figures fit."""

    def __init__(self, check: CheckRow) -> None:
        self._table = tables.layers(check, layers.MOST_ROWS)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        table, header = self._table, self._table.header
        held = [row[header.index("Holds")] if "Holds" in header else "" for row in table.rows]
        columns = [index for index, name in enumerate(header) if name != "Holds"]
        widths = {index: max(len(row[index]) for row in (header, *table.rows)) for index in columns}
        named = [index for index in columns if header[index] in _NAMES]
        gaps = 2 * len(columns)
        room = options.max_width - gaps - sum(widths[index] for index in columns if index not in named) - 1
        widths |= dict(zip(named, shared([widths[index] for index in named], room), strict=True))
        drawn = _drawn([header[index] for index in columns], [index >= table.figures for index in columns])
        for row, answer in zip(table.rows, held, strict=True):
            cells = [shortened(row[index], widths[index], ends=header[index] != "Kind") for index in columns]
            drawn.add_row(_MARKS.get(answer, ""), *map(Text, cells), style=_STYLES.get(answer, ""))
        yield drawn


def shared(wanted: Sequence[int], room: int) -> list[int]:
    """Widths within a room: the longest give way first, down to `_FEWEST` characters.

    Args:
        wanted: characters that each column would take.
        room: characters for all of them.
    """
    most = max(wanted, default=0)
    while most > _FEWEST and sum(min(width, most) for width in wanted) > room:
        most -= 1
    return [min(width, most) for width in wanted]


def shortened(cell: str, width: int, *, ends: bool) -> str:
    """A name in ``width`` characters.

    Args:
        cell: the name.
        width: at least 2.
        ends: whether its end stays, which tells layers and operators apart, or its beginning.
    """
    if len(cell) <= width:
        return cell
    return f"…{cell[1 - width :]}" if ends else f"{cell[: width - 1]}…"


def _drawn(names: Sequence[str], figures: Sequence[bool]) -> Table:
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
    drawn.add_column("", no_wrap=True)
    for name, right in zip(names, figures, strict=True):
        drawn.add_column(name, justify="right" if right or name == "#" else "left", no_wrap=True)
    return drawn


def _left_out(check: CheckRow, kit: str | None) -> str:
    hidden = len(check.layers) - len(layers.shown(check))
    if not hidden:
        return ""
    where = f"edgekit report {kit} -o report.html" if kit else "--json"
    return f"{text.count(hidden, 'more layer')}: {where}. "
