"""The blobs of one command: each content taken once, then only linked."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edgekit.errors import InternalError
from edgekit.jobs.disk import reading, writing
from edgekit.jobs.protocol import blob_of, file_in
from edgekit.types import Blob

_PIECE = 1 << 20


class BlobStore:
    """Files by content, ``<folder>/<digest>/<name>``. Thread-safe: a content is written aside and moved into place.

    Attributes:
        folder: where the blobs lie. Whatever else lies beside it is edgekit's own scratch space.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def take(self, path: Path, name: str) -> Blob:
        """Take in a file as it is now: what happens to it later changes nothing here.

        A file in the command's own scratch space is linked: nobody writes to it again.

        Raises:
            UsageError: it cannot be read, or there is no space for it.
        """
        with reading(path):
            path = path.resolve(strict=True)
        if path.is_relative_to(self.folder.parent):
            blob = blob_of(path, name)
            self._keep(blob, path, link)
            return blob
        handle, copy = tempfile.mkstemp(dir=self.folder)
        try:
            with open(handle, "wb") as target:
                digest, size = _copy(path, target)
            blob = Blob(digest, name, size)
            self._keep(blob, Path(copy), os.replace)
            return blob
        finally:
            Path(copy).unlink(missing_ok=True)
