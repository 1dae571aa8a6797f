"""A SavedModel is a folder, but hops hand files on: it travels as one zip archive, not compressed."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Name of the archive between two hops.
ARCHIVE = "model.saved_model.zip"

#: The signature key that serving and interpreters look for first.
SIGNATURE_KEY = "serving_default"


def pack(folder: Path, archive: Path) -> None:
    """Write every file of a folder into one archive, by its path inside the folder."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder))


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A folder with the content of an archive, beside it and for as long as the block runs.

    Nothing lands outside the folder: `zipfile` drops leading slashes and ``..``, and makes no links.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        yield Path(folder)
