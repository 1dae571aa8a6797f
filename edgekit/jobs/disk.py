"""What the file system refuses, as errors that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.jobs.depot import NO_SPACE

NO_PERMISSION = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT})

#: What to do about scratch space.
ELSEWHERE = "set TMPDIR to a folder on another disk"


@contextmanager
def writing(path: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Turn what the file system refuses into an error that says what to do.

    Args:
        path: what is written, for the message.
        elsewhere: how to choose another place, as the end of a sentence.

    Raises:
        UsageError: no permission, a read-only or full file system, a file where a folder should be.
    """
    try:
        yield
    except OSError as err:
        if err.errno in NO_SPACE:
            raise UsageError(
                "no-space", f"there is no space left for {path}.", hint=f"Free some space, or {elsewhere}."
            ) from err
        if err.errno in NO_PERMISSION:
            hint = f"{elsewhere[0].upper()}{elsewhere[1:]}."
            raise UsageError("no-permission", f"{path} cannot be written: {err.strerror}.", hint=hint) from err
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The same for a file that is read.

    Raises:
        UsageError: it is gone, a folder, or closed to this user.
    """
    try:
        yield
    except OSError as err:
        raise UsageError(
            "unreadable-file",
            f"{path} cannot be read: {err.strerror}.",
            hint="Check that the file is there and that you may read it.",
        ) from err
