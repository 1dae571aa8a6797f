"""Whose turn it is on a device: one job at a time, whichever account it is of. Part of the device core."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: The lock of a device, in its temporary folder, which all accounts share.
MACHINE_LOCK = "edgekit-device.lock"

#: Seconds between two looks at a lock that another has.
LOOK_S = 0.2

#: Most bytes of what a lock says of its holder.
_SAID_BYTES = 200


def open_machine_lock() -> int:
    """The lock of the whole device, made where it is missing; every account may take it.

    Returns:
        A file descriptor, which the caller owns.

    Raises:
        OSError: the temporary folder cannot be written.
    """
    path = Path(tempfile.gettempdir()) / MACHINE_LOCK
    if not path.exists():
        made, aside = tempfile.mkstemp(dir=path.parent)
        os.fchmod(made, 0o666)  # it appears under its name only when everybody may open it
        os.close(made)
        with contextlib.suppress(FileExistsError):  # another was faster
            os.link(aside, path)
        os.unlink(aside)
    # Without O_CREAT: with it Linux opens no other account's file in a folder like /tmp (fs.protected_regular).
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW)


@contextlib.contextmanager
def turn(lock: int, wait: Callable[[str], None]) -> Iterator[None]:
    """Have a lock. It goes with this process, however that ends, and says who has it.

    Args:
        lock: file descriptor, which is closed at the end.
        wait: called several times a second with the holder, as long as there is another; it may raise.
    """
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                wait(_said(lock))
                time.sleep(LOOK_S)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
            os.ftruncate(lock, 0)
            os.pwrite(lock, _holder().encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _holder() -> str:
    """The account, where it came from, and since when."""
    origin = os.environ.get("SSH_CONNECTION", "").partition(" ")[0] or "this machine"
    return f"{getpass.getuser()} from {origin}, process {os.getpid()}, since {time.strftime('%H:%M:%S')}"


def _said(lock: int) -> str:
    """What the holder wrote; it goes to a terminal, and every account can write there."""
    text = os.pread(lock, _SAID_BYTES, 0).decode(errors="replace")
    return "".join(filter(str.isprintable, text)).strip() or "another job"
