"""The blobs of one command: each content taken once, then only linked."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edgekit.errors import InternalError
from edgekit.jobs.disk import reading, writing
from edgekit.jobs.protocol import blob_of, file_in
from edgekit.types import Blob

_PIECE = 1 << 20

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class BlobStore:
    """Files by content, ``<folder>/<digest>/<name>``. Thread-safe: a file is written aside, then moved into place.

    Attributes:
        folder: where the blobs lie. Whatever lies beside it is the command's own scratch space.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._ids = itertools.count(1)

    def take(self, path: Path, name: str) -> Blob:
        """Take in a file as it is now: what happens to it later changes nothing here.

        A file in the command's own scratch space is linked: nobody writes to it again.

        Raises:
            UsageError: it cannot be read, or there is no space for it.
        """
        aside = self.folder / f"incoming-{next(self._ids)}"
        try:
            with reading(path):
                path = path.resolve(strict=True)
                if path.is_relative_to(self.folder.parent):
                    blob = blob_of(path, name)
                    with writing(aside):
                        _link(path, aside)
                else:
                    blob = _copy(path, aside, name)
            self.keep(blob, aside)
        finally:
            aside.unlink(missing_ok=True)
        return blob

    def keep(self, blob: Blob, path: Path) -> None:
        """Move a file in whose content is known."""
        target = self._target(blob)
        if target.exists():
            return
        with writing(target):
            target.parent.mkdir(exist_ok=True)
            for twin in target.parent.iterdir():  # the same content under another name
                with suppress(OSError):
                    os.link(twin, target)
                    return
            path.replace(target)

    def path(self, blob: Blob) -> Path:
        """Where the content of a blob lies."""
        target = self._target(blob)
        if not target.is_file():
            raise InternalError(
                "unknown-blob",
                f"nothing was taken in as {blob.name}.",
                received=blob.sha256,
                hint="Report this as a bug.",
            )
        return target

    def place(self, blobs: Iterable[Blob], folder: Path) -> None:
        """Link blobs into a job's folder under their names."""
        placed: dict[str, str] = {}
        for blob in blobs:
            known = placed.setdefault(blob.name, blob.sha256)
            if known != blob.sha256:
                raise InternalError(
                    "blob-clash", f"two blobs of one job are called {blob.name}.", hint="Report this as a bug."
                )
            target = file_in(folder, blob)
            if not target.exists():
                _link(self.path(blob), target)

    def _target(self, blob: Blob) -> Path:
        if not _DIGEST.match(blob.sha256):  # it may come from another machine, and becomes a folder
            raise InternalError(
                "bad-digest", "a blob has no digest.", received=blob.sha256, hint="Report this as a bug."
            )
        return file_in(self.folder / blob.sha256, blob)


def _copy(source: Path, target: Path, name: str) -> Blob:
    """Copy and name a file in one pass, so that the digest is of what was copied."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as stream, writing(target), target.open("xb") as copy:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            size += copy.write(piece)
    return Blob(digest.hexdigest(), name, size)


def _link(source: Path, target: Path) -> None:
    """Hard link, or copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
