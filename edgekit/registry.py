"""A name for every adapter, imported when it is used. Part of the device core.

A built-in adapter is one row in a registry; a third party's is an entry point in the registry's group. Both
are the same kind of row, so nothing else in edgekit knows which adapters exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata, util
from typing import Any, Generic, Optional, TypeVar

from edgekit.errors import MissingError, UsageError

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)[^;>]*(>=(?P<least>[0-9.]+))?[^;]*;\s*"
    r"(\((?P<marker>.*)\) and )?extra == ['\"](?P<extra>[^'\"]+)['\"]\s*\Z"
)


@dataclass(frozen=True)
class Row:
    """One adapter, described without importing it.

    Attributes:
        name: what users type.
        target: ``package.module:attribute``, imported on use.
        extra: the optional dependency sets of edgekit that it needs, joined by commas.
        needs: modules that must be importable; of alternatives, joined by ``|``, one.
    """

    name: str
    target: str
    extra: str
    needs: tuple[str, ...]

    def missing(self) -> tuple[str, ...]:
        """Modules that are not installed, found without importing any."""
        return tuple(
            " or ".join(modules)
            for modules in (need.split("|") for need in self.needs)
            if not any(_installed(module) for module in modules)
        )

    def require(self) -> None:
        """Refuse an adapter that cannot work here.

        Raises:
            MissingError: a module it needs is not installed; the hint is the command that installs it.
        """
        missing = self.missing()
        if missing:
            raise MissingError(
                "missing-extra",
                f"{self.name} needs the package {', '.join(missing)}, which is not installed.",
                hint=f"Run: {install_command(self.extra)}",
            )

    def load(self) -> Any:
        """Import the adapter.

        Raises:
            MissingError: see `require`.
        """
        self.require()
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


R = TypeVar("R", bound=Row)


class Registry(Generic[R]):
    """Rows by name: the built-in ones and those of entry points in ``group``."""

    def __init__(self, noun: str, group: str, rows: tuple[R, ...]) -> None:
        self.noun = noun
        self.group = group
        self._builtin = rows

    def rows(self) -> dict[str, R]:
        """All rows in order. An entry point is either a Row or a callable that returns one."""
        found = {row.name: row for row in self._builtin}
        for entry in _entry_points(self.group):
            row = entry.load()
            if not isinstance(row, Row):
                row = row()
            if row.name in found:
                raise UsageError(
                    "duplicate-adapter",
                    f"two packages offer the {self.noun} {row.name!r}.",
                    received=f"{found[row.name].target} and {row.target}",
                    hint="Uninstall one of them.",
                )
            found[row.name] = row
        return found

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows().values())

    def __getitem__(self, name: str) -> R:
        rows = self.rows()
        if name not in rows:
            raise UsageError(
                f"unknown-{self.noun}".replace(" ", "-"),
                f"there is no {self.noun} {name!r}.",
                received=name,
                hint=f"Choose one of: {', '.join(sorted(rows))}.",
            )
        return rows[name]


def install_command(extra: str) -> str:
    """The shell command that installs optional dependency sets of edgekit, joined by commas."""
    return f"pip install 'edgekit[{extra}]'"


@dataclass(frozen=True)
class Requirement:
    """One line of an optional dependency set.

    Attributes:
        name: distribution.
        least: oldest version that edgekit works with, or None.
        extra: the set it belongs to.
        marker: condition of the platform, in the syntax of packaging markers; empty for everywhere.
    """

    name: str
    least: Optional[str]
    extra: str
    marker: str


def requirements() -> tuple[Requirement, ...]:
    """Every optional requirement, from edgekit's own metadata: the list in ``pyproject.toml``."""
    matches = (_REQUIREMENT.match(line) for line in metadata.requires("edgekit") or ())
    return tuple(
        Requirement(match["name"], match["least"], match["extra"], match["marker"] or "")
        for match in matches
        if match is not None
    )


def _installed(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is absent
        return False


@cache  # scans every installed package
def _every_entry_point() -> Any:
    return metadata.entry_points()


@cache
def _entry_points(group: str) -> Any:
    found = _every_entry_point()
    if hasattr(found, "select"):
        return found.select(group=group)
    return found.get(group, ())  # Python 3.9
