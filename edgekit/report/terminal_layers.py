"""Which layer is to blame, and the layers around it, as Rich renderables."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from edgekit.checked import CheckRow
from edgekit.report import layers, tables, text
from edgekit.report.collect import Summary
from edgekit.report.terminal_parts import plain

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

#: Columns whose words give way to figures on a narrow terminal.
_NAMES = ("Layer", "Kind", "Operator")

#: Characters that stay of a name however narrow the terminal is.
_FEWEST = 8

#: Characters of a long name under which the kind of the layer is left out in its favour.
_READABLE = 12

#: Characters between two columns, and of the column of marks with its gap.
_GAP, _MARK = 2, 3

_MARKS = {"culprit": "→", "no": "✗"}
_STYLES = {"culprit": "bold red", "no": "red"}


def layers_view(summary: Summary) -> Iterator[RenderableType]:
    """For each check that looked at layers: who is to blame, how to see it, and the layers around."""
    checks = layers.looked_at(summary)
    for check in checks:
        for sentence in layers.sentences(check):
            yield plain(sentence, "bold" if check.culprit is not None else "")
        if check.failing is not None:
            yield plain(f"Reproduce it:\n  {check.failing.command}")
        if check.layers:
            yield LayerTable(check)
            if left_out := _left_out(check):
                yield plain(f"{left_out}\n", "dim")
    if any(check.layers for check in checks):
        yield plain(layers.ADDED, "dim")
        yield plain(f"All layers:{_whole(summary)}\n", "dim")


def _whole(summary: Summary) -> str:
    """What shows every layer: a kit keeps its checks, but not those with something else than its source."""
    if summary.stored:
        return f"\n  edgekit report {shlex.quote(str(summary.kit))} -o report.html"
    return " --json > check.json; edgekit report check.json -o report.html"


class LayerTable:
    """The layers worth a screen; their names give way until the figures fit."""

    def __init__(self, check: CheckRow) -> None:
        self._table = tables.layers(check, layers.MOST_ROWS)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        table, header = self._table, self._table.header
        held = [row[header.index("Holds")] if "Holds" in header else "" for row in table.rows]
        marked = any(answer in _MARKS for answer in held)
        widths = self._widths(options.max_width - (_MARK if marked else 0))
        drawn = _drawn(marked, {header[index]: index >= table.figures for index in widths})
        columns = [
            [shortened(row[index], width, ends=False) for row in table.rows]
            if header[index] == "Kind"
            else told_apart([row[index] for row in table.rows], width)
            for index, width in widths.items()
        ]
        for cells, answer in zip(zip(*columns, strict=True), held, strict=True):
            marks = [_MARKS.get(answer, "")] if marked else []
            drawn.add_row(*marks, *map(Text, cells), style=_STYLES.get(answer, ""))
        yield drawn

    def _widths(self, room: int) -> dict[int, int]:
        """Characters of each column that is drawn; the kind of a layer is left out where it would squeeze its name."""
        header = self._table.header
        full = {
            index: max(len(row[index]) for row in (header, *self._table.rows))
            for index, name in enumerate(header)
            if name != "Holds"
        }
        for left_out in ("", "Kind"):
            drawn = {index: width for index, width in full.items() if header[index] != left_out}
            named = [index for index in drawn if header[index] in _NAMES]
            figures = sum(width for index, width in drawn.items() if index not in named)
            fitted = shared([drawn[index] for index in named], room - figures - _GAP * len(drawn))
            drawn |= dict(zip(named, fitted, strict=True))
            if all(drawn[index] >= min(full[index], _READABLE) for index in named):
                break
        return drawn


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


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Names in ``width`` characters by their ends; those that would read alike lose the end that they share.

    Args:
        names: of one column.
        width: at least 3.
    """
    short = [shortened(name, width, ends=True) for name in names]
    found = []
    for name, mine in zip(names, short, strict=True):
        alike = {other for other, its in zip(names, short, strict=True) if its == mine}
        if len(alike) > 1:
            backwards = zip(*(other[::-1] for other in alike), strict=False)
            common = sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, backwards))
            mine = f"{shortened(name[:-common], width - 1, ends=True)}…"
        found.append(mine)
    return found


def _drawn(marked: bool, figures: Mapping[str, bool]) -> Table:
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
    if marked:
        drawn.add_column("", no_wrap=True)
    for name, right in figures.items():
        drawn.add_column(name, justify="right" if right or name == "#" else "left", no_wrap=True)
    return drawn


def _left_out(check: CheckRow) -> str:
    hidden = len(check.layers) - len(layers.shown(check))
    more = f"{text.count(hidden, 'more layer')}." if hidden else ""
    return " ".join(filter(None, (more, layers.unknown(check))))
