"""Waiting until a CPU has cooled down, so that every opening of a timing starts alike. Part of the device core."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

SYS = Path("/sys")

#: How far above the first opening's temperature the others may start. Boards differ by some degrees from load alone;
#: a Raspberry Pi without a fan gains 20 and more within a minute.
BAND_C = 5.0

#: Longest wait before one opening.
MAX_WAIT_S = 30.0

_POLL_S = 0.5


@dataclass(frozen=True)
class Cooled:
    """How a wait went.

    Attributes:
        waited_s: seconds.
        before_c, after_c: temperature of the hottest zone; None where it cannot be read.
        reached: whether the temperature is within the band now; it is where none can be read.
    """

    waited_s: float
    before_c: Optional[float]
    after_c: Optional[float]
    reached: bool


def temperature_c(sys: Path = SYS) -> Optional[float]:
    """The hottest thermal zone; None where none answers. A zone without a sensor behind it reads 0 or below."""
    found = []
    for zone in (sys / "class" / "thermal").glob("thermal_zone*"):
        try:
            found.append(int((zone / "temp").read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max((value for value in found if value > 0), default=None)


def cool_down(
    highest_c: Optional[float],
    max_s: float = MAX_WAIT_S,
    sys: Path = SYS,
    sleep: Callable[[float], None] = time.sleep,
) -> Cooled:
    """Wait until the temperature is at most ``highest_c``, or until ``max_s`` are over.

    Args:
        highest_c: upper end of the band, degrees Celsius; None only looks.
        max_s: longest wait.
        sys: where ``/sys`` is.
        sleep: waits some seconds.
    """
    before = now = temperature_c(sys)
    waited = 0.0
    while now is not None and highest_c is not None and now > highest_c and waited < max_s:
        sleep(_POLL_S)
        waited += _POLL_S
        now = temperature_c(sys)
    return Cooled(waited, before, now, now is None or highest_c is None or now <= highest_c)
