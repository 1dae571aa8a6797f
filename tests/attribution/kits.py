"""Kits with an artifact that edgekit did not make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit, digest_of


def put(kit: Path, target: str, precision: str, files: Sequence[Path]) -> None:
    """Take files into a kit as if they had been made from its fp32 artifact of that target.

    Args:
        kit: holds ``TARGET fp32``; what it has of that target and precision is replaced.
        target, precision: of the files.
        files: the entry file first.
    """
    opened = Kit.open(kit)
    parent = next(one for one in opened.artifacts if one.name == f"{target} fp32")
    blobs = tuple(blob_of(path) for path in files)
    known = parent if precision == "fp32" else replace(parent, parent=parent.sha256)
    made = replace(known, precision=precision, files=blobs, sha256=digest_of(blobs))
    opened.commit(artifacts=[(made, tuple(files))])
