"""What quantization made, how its recipe was found, and which operators it hurts, as Rich renderables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgekit.report import tables, text
from edgekit.report.collect import Summary, noise_shares
from edgekit.report.terminal_parts import grid, group, head, listed, notes, pays_list, plain, titled, unmade
from edgekit.results import SensitivityRow

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Rows of a ranking that a screen shows; ``--json`` and the page have all.
MOST_LAYERS = 20

#: Characters of the longest bar, and of a name in a ranking.
BAR, NAME = 10, 28


def quantize_view(summary: Summary) -> RenderableType:
    """One line per artifact, whether it pays, the recipes that were tried, and what stays in float."""
    parts = [head(summary), grid(tables.quantized(summary)), *pays_list(summary)]
    if any(pays.answer == "not shown" for line in summary.lines for pays in line.pays):
        parts.append(
            plain("Where no gain or loss is shown, the interval holds 1×: --must-pay lets that pass.\n", "dim")
        )
    return group([*parts, *recipes(summary), *unmade(summary), *notes(summary)])


def recipes(summary: Summary, *, tried: bool = True) -> Iterator[RenderableType]:
    """How each artifact came to its recipe.

    Args:
        summary: holds the artifacts.
        tried: whether every recipe that was tried is listed too.
    """
    known = [(line, found) for line in summary.lines if (found := line.quantization) is not None]
    if known:
        yield listed("Recipes", [text.quantization_sentence(line.name, found) for line, found in known])
    for line, _ in known:
        if tried and (table := tables.trials(line)).rows:
            rows = tuple((text.broken(recipe), *rest) for recipe, *rest in table.rows)
            yield from titled(f"Recipes that were tried for {line.name}", replace(table, rows=rows))
    floats = [text.left_float_sentence(line.name, found) for line, found in known if found.left_float]
    if floats:
        yield listed("Left in float to keep the accuracy", floats)


def sensitivity_view(summary: Summary) -> RenderableType:
    """A ranking of operators for each artifact, with bars."""
    parts = [part for row in summary.sensitivity for part in ranking(row)]
    return group([head(summary), *parts, *notes(summary)])


def ranking(row: SensitivityRow) -> Iterator[RenderableType]:
    """The operators of one artifact, the most damaging first."""
    yield plain(text.sensitivity_sentence(row))
    table = tables.sensitivity(row, MOST_LAYERS)
    bars = (text.bar(share, BAR) for share in noise_shares(row))
    rows = tuple((text.short(name, NAME), *rest, bar) for (name, *rest), bar in zip(table.rows, bars, strict=False))
    yield grid(replace(table, header=(*table.header, ""), rows=rows), left=("",))
    hidden = len(row.layers) - len(table.rows)
    if hidden > 0:
        yield plain(f"{text.count(hidden, 'more operator')} with less noise: see --json or the report.\n", "dim")
