"""Resident memory of a process and its children, without a dependency."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PROC = Path("/proc")


def tree_rss_bytes(pid: int) -> int:
    """Resident bytes of a process and all its descendants; 0 when it has ended."""
    if not _PROC.is_dir():
        return _ps_rss_bytes(pid)
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
        tasks = (_PROC / str(pid) / "task").glob("*/children")  # each thread has children of its own
        children = [child for task in tasks for child in task.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(tree_rss_bytes(int(child)) for child in children)


def _ps_rss_bytes(pid: int) -> int:
    """The same through ``ps`` where there is no /proc (macOS): the process group of a worker is its tree."""
    listed = subprocess.run(["ps", "-o", "rss=", "-g", str(pid)], capture_output=True, text=True, check=False)
    return sum(int(line) for line in listed.stdout.split()) * 1024
