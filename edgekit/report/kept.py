"""The results that a kit keeps, one file each, and those of them that cannot be read any more."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekit.errors import InternalError, UsageError
from edgekit.jobs.codec import from_json
from edgekit.kit import Kit
from edgekit.report import text
from edgekit.report.documents import DOCUMENTS, Document

_BY_SCHEMA: dict[str, type[Document]] = {kind.schema: kind for kind in DOCUMENTS}

#: Files that a sentence names.
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """One result.

    Attributes:
        command: that gave it, the head of its file's name.
        at: when it was stored, UTC, ISO 8601.
        document: the result.
    """

    command: str
    at: str
    document: Document


@dataclass(frozen=True, slots=True)
class Kept:
    """The results of a kit.

    Attributes:
        results: the oldest first.
        unread: files that this version of edgekit cannot read, with what they hold.
    """

    results: tuple[Stored, ...]
    unread: tuple[str, ...]

    @property
    def note(self) -> str | None:
        """How many are left out, and which; None where all are there."""
        if not self.unread:
            return None
        named = ", ".join(self.unread[:_MOST_NAMES])
        more = f" and {len(self.unread) - _MOST_NAMES} more" if len(self.unread) > _MOST_NAMES else ""
        count = text.count(len(self.unread), "stored result")
        return f"{count} cannot be read by this version of edgekit and {_are(self.unread)} left out: {named}{more}."


def kept_results(kit: Kit) -> Kept:
    """Every result of a kit: what another version wrote, and what somebody removed or changed, is counted and named."""
    found, unread = [], []
    for name in kit.manifest.results:
        path = kit.folder / "results" / name
        try:
            found.append(_stored(path))
        except UsageError as err:
            why = err.received if err.code == "unknown-schema" else "changed" if path.is_file() else "gone"
            unread.append(f"{name} ({why})")
    return Kept(tuple(found), tuple(unread))


def decode(path: Path) -> Document:
    """A result that a report can show.

    Raises:
        UsageError: it is none.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as err:
        raise UsageError(
            "not-a-result",
            f"{path.name} cannot be read as JSON.",
            received=str(path),
            hint="Give a file that a command with --json printed.",
        ) from err
    schema = data.pop("schema", None) if isinstance(data, dict) else None
    if schema not in _BY_SCHEMA:
        raise UsageError(
            "unknown-schema",
            f"{path.name} is no result that a report can show.",
            received=f"schema {schema}",
            hint=f"Give a result of one of: {', '.join(sorted(_BY_SCHEMA))}.",
        )
    try:
        return from_json(_BY_SCHEMA[schema], data)
    except InternalError as err:
        raise UsageError(
            "unreadable-result", f"{path.name}: {err.message}", received=err.received, hint=err.hint
        ) from err


def _stored(path: Path) -> Stored:
    command, _, stamp = path.name.removesuffix(".json").partition("-")
    document = decode(path)
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError as err:
        raise UsageError(
            "not-a-result", f"{path.name} does not say when it was stored.", received=path.name, hint="Remove it."
        ) from err
    return Stored(command, at.isoformat(), document)


def _are(things: tuple[str, ...]) -> str:
    return "is" if len(things) == 1 else "are"
