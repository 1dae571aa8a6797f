"""The most memory that this process has held for a while. Part of the device core."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def begin_peak() -> int:
    """Resident bytes now; from here on the kernel tracks a new peak, where it lets us ask for one."""
    with suppress(OSError):  # where it is refused the peak counts from the start of the process
        _CLEAR_REFS.write_text("5")  # resets VmHWM, proc_pid_clear_refs(5)
    return _status_bytes("VmRSS") or _rusage_peak_bytes()


def peak_rss_bytes() -> int:
    """The highest resident memory since `begin_peak`, bytes; since the start of the process where that was refused."""
    return _status_bytes("VmHWM") or _rusage_peak_bytes()


def _status_bytes(key: str) -> int:
    """A field of ``/proc/self/status``; 0 where there is none. ``ru_maxrss`` would count the parent's pages too."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)


def _rusage_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
