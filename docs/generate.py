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

from edgekit.data.registry import FORMS
from edgekit.errors import UsageError
from edgekit.exporter.graph import HOPS, TARGETS, routes
from edgekit.exporter.sources.registry import SOURCES
from edgekit.quantizer.registry import METHODS
from edgekit.registry import Row
from edgekit.runtimes import RUNTIMES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"

_BLOCK = re.compile(r"(<!-- generated:(?P<name>[a-z]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def sources() -> str:
    """Which source reaches which target: the route that is tried first, and how many follow."""
    rows = []
    for row in SOURCES:
        if row.name == "code":
            continue
        given = _codes(row.suffixes) or _GIVEN[row.name]
        rows.append((f"{row.what} ({given})", *(_first(row.name, target) for target in TARGETS)))
    return _table(("source", *(f"to `{target}`" for target in TARGETS)), rows)


#: How sources are given that are no files of a suffix of their own.
_GIVEN = {"torch.nn": "`file.py:factory`", "jax": "`file.py:factory`", "saved_model": "a folder"}


def _first(kind: str, target: str) -> str:
    try:
        found = routes(kind, target)
    except UsageError:
        return "–"
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"`{found[0].name}`{more}"


def targets() -> str:
    """What runs each target, and which precisions it can be quantized to."""
    rows = []
    for target in TARGETS:
        engines = _codes(row.name for row in RUNTIMES if target in row.formats)
        rows.append((f"`{target}`", engines, _codes(row.precision for row in METHODS if row.format == target)))
    return _table(("target", "runs on", "quantizes to"), rows)


def extras() -> str:
    """What each extra installs and what needs it."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        declared: dict[str, list[str]] = tomllib.load(stream)["project"]["optional-dependencies"]
    rows = []
    for name, requirements in declared.items():
        if name != "dev":
            rows.append((f"`{name}`", _installs(requirements), _wanted_by(name)))
    return _table(("extra", "installs", "for"), rows)


TABLES = {"sources": sources, "targets": targets, "extras": extras}


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
    nouns: dict[str, Iterable[Row]] = {"run": RUNTIMES, "convert": HOPS, "quantize": METHODS, "read": FORMS}
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
