"""Where the time of each artifact goes, as Rich renderables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgekit.figures import BenchRow, Profile
from edgekit.report import profiles, tables, text
from edgekit.report.collect import Summary
from edgekit.report.terminal_layers import shortened
from edgekit.report.terminal_parts import grid, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Characters of the longest bar, of a name, and of the kind of an operator.
BAR, NAME, KIND = 10, 27, 16


def profiles_view(summary: Summary) -> Iterator[RenderableType]:
    """The operators of each timing that take the most time, with bars."""
    for row, profile in profiles.shown(summary):
        yield from _view(row, profile)


def _view(row: BenchRow, profile: Profile) -> Iterator[RenderableType]:
    yield plain(profiles.title(row), "bold")
    for sentence in profiles.sentences(profile):
        yield plain(sentence, "dim")
    table = tables.profile(profile, profiles.MOST_ROWS)
    largest = max(one.share for one in profile.operators) or 1.0
    bars = [text.bar(one.share / largest, BAR) for one in profile.operators[: len(table.rows)]]
    rows = tuple((*_short(cells), bar) for cells, bar in zip(table.rows, bars, strict=True))
    yield grid(replace(table, header=(*table.header, ""), rows=rows), left=("",))
    rest = profiles.left_out(profile, profiles.MOST_ROWS)
    yield plain(f"{rest}\n" if rest else "", "dim")


def _short(cells: Sequence[str]) -> tuple[str, ...]:
    """The first two, what is computed and its kind, with few characters: more are in the report."""
    name, kind, *rest = cells
    return shortened(name, NAME, ends=False), shortened(kind, KIND, ends=False), *rest
