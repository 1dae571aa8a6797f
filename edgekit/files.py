"""Files that are whole or not there, those that belong together, and the refusals of a file system in words."""

from __future__ import annotations

import io
import mmap
import os
import re
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from edgekit.errors import ModelError, UsageError
from edgekit.jobs import disk

#: A string entry "location" of an ONNX tensor's external data, as protobuf writes it, and the file's name after it.
_LOCATION = re.compile(rb"\n\x08location\x12(.)", re.DOTALL)


def companions(entry: Path) -> tuple[Path, ...]:
    """Files that hold the weights of a model, beside its entry file; they need not be there.

    Args:
        entry: ``model.xml`` has ``model.bin``; an ``.onnx`` file names its own.

    Raises:
        ModelError: an ONNX file looks for weights outside its folder.
    """
    if entry.suffix == ".xml":
        return (entry.with_suffix(".bin"),)
    if entry.suffix != ".onnx" or not entry.stat().st_size:
        return ()
    with entry.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = {
            content[match.end() : match.end() + match[1][0]].decode(errors="replace")
            for match in _LOCATION.finditer(content)
        }
    for name in sorted(found):
        if Path(name).name != name:
            raise ModelError(
                "weights-elsewhere",
                f"{entry.name} wants weights from another folder, which a model file may not.",
                received=name,
                hint="Save the model again with its external data beside it.",
            )
    return tuple(entry.with_name(name) for name in sorted(found))


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
