"""Where what takes long to make is kept between commands: boards, wheels, environments."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.jobs.disk import writing

#: How to choose another place, as the end of a sentence.
ELSEWHERE = "set XDG_CACHE_HOME to a folder on another disk"


def cache_folder(name: str) -> Path:
    """A folder of this user's cache, made where it is missing: ``$XDG_CACHE_HOME/edgekit/<name>``.

    Raises:
        UsageError: it cannot be written.
    """
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"  # the specification counts an empty one as unset
    folder = Path(home).expanduser() / "edgekit" / name
    with writing(folder, ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for the process that has it; the lock goes with the process, even a killed one."""
    with writing(path, ELSEWHERE), path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
