"""What the firmware of a Raspberry Pi says about its power and heat. Part of the device core.

It keeps flags of what is so now and of what was so since the start, so that a throttling between two looks shows.
The program that asks it is at every Raspberry Pi OS; the kernel's file of the same content is older and often gone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Optional

SYS = Path("/sys")

#: Bits of ``get_throttled``; the same ones 16 higher say that it happened since the start (Raspberry Pi
#: documentation, "vcgencmd").
FLAGS = {
    0: "the supply voltage was too low",
    1: "the clock was capped",
    2: "the CPU was throttled",
    3: "the soft temperature limit was active",
}
SINCE_START = 16

#: Low bits: what is so now.
NOW = 0xF

_FIRMWARE = Path("devices/platform/soc/soc:firmware/get_throttled")


def ask_firmware() -> Optional[str]:
    """What ``vcgencmd get_throttled`` says, such as ``throttled=0x50000``; None where there is no such program."""
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def throttle_flags(sys: Path = SYS, ask: Callable[[], Optional[str]] = ask_firmware) -> Optional[int]:
    """The flags of a Raspberry Pi's firmware; None on other machines, and where this user may not ask.

    Args:
        sys: where ``/sys`` is.
        ask: asks the firmware where the kernel has no file for it.
    """
    try:
        said: Optional[str] = (sys / _FIRMWARE).read_text()
    except OSError:
        said = ask()
    found = re.search(r"\b(?:0x)?([0-9a-fA-F]+)\s*\Z", said or "")
    return int(found[1], 16) if found else None


def throttled_between(before: Optional[int], after: Optional[int]) -> tuple[str, ...]:
    """What slowed a Raspberry Pi down between two looks, in words; empty for nothing, and where nothing is known.

    What was so at some time before the first look and no longer holds says nothing about the time between them.

    Args:
        before, after: flags, see `throttle_flags`.
    """
    if before is None or after is None:
        return ()
    seen = (before | after) & NOW | (after & ~before) >> SINCE_START
    return tuple(words for bit, words in FLAGS.items() if seen >> bit & 1)
