"""Files that are whole or not there, and the refusals of a file system in words."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from edgekit.errors import UsageError
from edgekit.jobs import disk


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot hold a kit, before any work is done for it.

    Raises:
        UsageError: a file stands there, or nothing may be created there.
    """
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return
    raise UsageError(
        "no-permission",
        f"{folder} cannot be written: {existing} is {'read-only' if existing.is_dir() else 'a file'}.",
        received=str(folder),
        hint="Choose another folder with -o.",
    )


def writing(path: Path) -> AbstractContextManager[None]:
    """Turn what the file system refuses about a file of the user's into an error that says what to do.

    Raises:
        UsageError: no permission, a read-only or full file system, a file where a folder should be.
    """
    return disk.writing(path, "choose another folder with -o")


def copy_file(source: Path, target: Path) -> None:
    """A copy that is on the disk when this returns."""
    with source.open("rb") as reader:
        write_durably(target, reader)


def write_text(path: Path, text: str) -> None:
    """Text that is on the disk when this returns, in place of what was there."""
    write_durably(path, io.BytesIO(text.encode()))


def write_durably(path: Path, content: BinaryIO) -> None:
    """All of the content under its name, or nothing."""
    descriptor, staging = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            shutil.copyfileobj(content, stream, 1 << 20)
            stream.flush()
            os.fsync(stream.fileno())
        Path(staging).chmod(0o644)
        Path(staging).replace(path)
    except BaseException:  # an interrupt too leaves no half file
        Path(staging).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
