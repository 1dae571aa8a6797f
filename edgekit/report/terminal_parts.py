"""What the views of a terminal are put together from."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

from edgekit.report import stages, tables, text
from edgekit.report.collect import Summary
from edgekit.report.reasons import reasons_by_text
from edgekit.types import Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_STYLE: dict[str, str] = {
    "verified": "green", "weak": "yellow", "failed": "bold red", "error": "bold magenta", "chosen": "green",
}  # fmt: skip


#: Columns that may take several lines on a narrow terminal.
_WRAPS = frozenset(
    (
        *("Artifact", "Runtime", "Device", "Output", "Route", "Reason", "Note", "Answer", "At fault"),
        *("Recipe", "Layer", "Kind", "Drop, 95 %"),
    )
)


def verdict_text(verdict: Verdict) -> Text:
    """The word in its colour."""
    from rich.text import Text

    return Text(verdict, style=_STYLE[verdict])


def head(summary: Summary) -> RenderableType:
    """What the results are about, and the verdict with its grounds."""
    from rich.text import Text

    line = Text.assemble((summary.title, "bold"), "  ", verdict_text(summary.verdict), f": {summary.meaning}")
    return Text.assemble(line, "\n", ("; ".join(text.judged_on(summary.evidence, summary.against)), "dim"))


def pays_list(summary: Summary) -> Iterator[RenderableType]:
    """One sentence per quantized artifact and device."""
    sentences = [text.pays_sentence(line.name, pays) for line in summary.lines for pays in line.pays]
    if sentences:
        yield listed("Does quantization pay?", sentences)


def stages_list(summary: Summary) -> Iterator[RenderableType]:
    """One line per artifact that went through several stages, or failed."""
    sentences = [stages.sentence(check) for check in stages.compared(summary)]
    if sentences:
        yield listed("Stages, each beside the one before it", sentences)


def notes(summary: Summary) -> Iterator[RenderableType]:
    """Every reason once, and the warnings."""
    told = {text.attempt_sentence(attempt) for line in summary.lines if line.made for attempt in line.made.attempts}
    reasons = [
        f"{', '.join(names)}: {reason}"
        for reason, names in reasons_by_text(summary).items()
        if reason not in told  # the table of routes says it
    ]
    if reasons or summary.notes:
        yield listed("Reasons and notes", [*reasons, *summary.notes])


def unmade(summary: Summary) -> Iterator[RenderableType]:
    """Every route to an artifact that none made: what failed, and why."""
    for line in summary.lines:
        if line.made is not None and line.made.route is None and line.made.attempts:
            yield from titled(f"No route made {line.name}", tables.unmade(line.made))


def titled(title: str, table: tables.Table) -> Iterator[RenderableType]:
    """A table under its heading."""
    from rich.padding import Padding
    from rich.text import Text

    yield Text(title, style="bold")
    yield Padding(grid(table), (0, 0, 0, 1))


def grid(table: tables.Table, left: Container[str] = ()) -> RenderableType:
    """A table whose figures are never cut short; words may take several lines.

    Args:
        table: the cells.
        left: columns of figures that are aligned to the left all the same.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
    for index, name in enumerate(table.header):
        right = index >= table.figures and name not in left
        longest = max((len(row[index]) for row in table.rows), default=0)
        words = max((len(word) for row in table.rows for word in row[index].split()), default=0)
        wraps = name in _WRAPS
        fewest = words if name == "Recipe" else min(words, 14)
        drawn.add_column(
            name,
            justify="right" if right else "left",
            min_width=fewest if wraps else max(longest, len(name)),  # a figure is never cut short
            no_wrap=not wraps,
            overflow="fold",
        )
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=_STYLE.get(cell, "")) for cell in row))
    return group([drawn, Text(table.common, style="dim")]) if table.common else drawn


def listed(title: str, sentences: list[str]) -> RenderableType:
    """Sentences under their heading."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 1))
    lines.add_column()
    lines.add_column(overflow="fold")  # a long name is a name to copy
    for sentence in sentences:
        lines.add_row("-", Text(sentence))
    return group([Text(title, style="bold"), Padding(lines, (0, 0, 1, 2))])


def plain(line: str, style: str = "") -> RenderableType:
    """Text as it is, without markup."""
    from rich.text import Text

    return Text(line, style=style)


def group(parts: list[Any]) -> RenderableType:
    """Parts below each other."""
    from rich.console import Group

    return Group(*parts)
