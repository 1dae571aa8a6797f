"""Writes the generated tables of README.md from the registries and pyproject.toml.

``python docs/generate.py`` writes them; with ``--check`` it writes nothing and exits 1 when they are out of date.
A table stands between ``<!-- generated:NAME -->`` and ``<!-- /generated -->``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from edgekit.exporter.graph import HOPS, TARGETS, routes
from edgekit.quantizer.registry import METHODS
from edgekit.registry import Row
from edgekit.runtimes import RUNTIMES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"

_BLOCK = re.compile(r"(<!-- generated:(?P<name>[a-z]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def sources() -> str:
    """Which source reaches which target, what runs it there, and which precisions it can be quantized to."""
    rows = []
    for kind in (row.name for row in RUNTIMES if not row.travels):
        for target in TARGETS:
            paths = "<br>".join(f"`{route.name}`" for route in routes(kind, target))
            engines = _codes(row.name for row in RUNTIMES if target in row.formats)
            precisions = _codes(row.precision for row in METHODS if row.format == target)
            rows.append((kind, f"`{target}`", paths, engines, precisions))
    return _table(("source", "target", "routes, in the order they are tried", "runs on", "quantizes to"), rows)


def extras() -> str:
    """What each extra installs and what needs it."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        declared: dict[str, list[str]] = tomllib.load(stream)["project"]["optional-dependencies"]
    rows = []
    for name, requirements in declared.items():
        if name != "dev":
            rows.append((f"`{name}`", _installs(requirements), _wanted_by(name)))
    return _table(("extra", "installs", "for"), rows)


TABLES = {"sources": sources, "extras": extras}


def fill(text: str) -> str:
    """The text with every generated block written anew.

    Raises:
        KeyError: a block has a name that no table has.
    """
    return _BLOCK.sub(lambda block: block[1] + TABLES[block["name"]]() + block[3], text)


def main() -> int:
    """Write or check README.md; the exit status."""
    text = README.read_text()
    wanted = fill(text)
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print("README.md is out of date: run make docs", file=sys.stderr)
        return int(text != wanted)
    README.write_text(wanted)
    return 0


def _installs(requirements: list[str]) -> str:
    """Package names without versions and platforms; an extra made of others names those."""
    nested = re.fullmatch(r"edgekit\[(.*)\]", requirements[0])
    names = nested[1].split(",") if nested else [re.split(r"[<>=;\[ ]", text)[0] for text in requirements]
    return ", ".join(f"`{name}`" if nested else name for name in dict.fromkeys(names))


def _wanted_by(extra: str) -> str:
    """The adapters whose row names an extra."""
    nouns: dict[str, Iterable[Row]] = {"run": RUNTIMES, "convert": HOPS, "quantize": METHODS}
    found = {noun: [row for row in rows if extra in row.extra.split(",")] for noun, rows in nouns.items()}
    # A method is called target:precision; its targets say enough here.
    short = {noun: _codes(row.name.partition(":")[0] for row in rows) for noun, rows in found.items()}
    return "; ".join(f"{noun} {names}" for noun, names in short.items() if names)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
