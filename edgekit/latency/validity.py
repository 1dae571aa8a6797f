"""Whether the machine was fit to measure on: each reason here makes a result ``weak``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.latency.measured import EMULATED, Measured
from edgekit.results import unique
from edgekit.runtimes.environment import Snapshot
from edgekit.runtimes.throttle import throttled_between

#: p50 of the last opening against the first. Each compilation has its own speed, 2 to 3 % apart, so two openings
#: of a steady machine differ by more than this only once in some fifty times.
DRIFT_SHARE = 0.10

#: Openings, as a share, that may be timed before their speed is steady: a few do not move the median over all.
UNSTEADY_SHARE = 0.10

#: The last third of an opening's samples against its first, in the median over openings: warm-up lets speed differ by
#: half of this between the thirds of a sample, so more is a speed that still moves.
SETTLING_SHARE = 0.10

#: CPU time of other processes, as a share of one core.
FOREIGN_LOAD = 0.20

#: Highest against lowest mean frequency over all openings.
FREQUENCY_SHARE = 0.05

#: Where throttling cannot be read: a Raspberry Pi lowers its clock from 80 °C on (Raspberry Pi documentation,
#: "Frequency management and thermal control"), and other passively cooled boards are alike.
TEMPERATURE_C = 80.0

#: Two modes: the best split of the samples explains this share of their variance (a normal distribution gives
#: 2 / pi = 0.64, a uniform one 0.75), each side has this share of the samples, and the sides' means lie this far
#: apart.
SPLIT_EXPLAINS = 0.85
SPLIT_SIDE = 0.10
SPLIT_DISTANCE = 0.10

#: First words of the reason for a wide interval. A later comparison still holds, since it uses the interval.
NOT_CONVERGED = "did not converge"


def timing_reasons(measured: Measured) -> tuple[str, ...]:
    """Why a timing is weak, one sentence each; empty where nothing speaks against it."""
    if not measured.openings:
        return ()
    if measured.openings[0].environment.emulated:
        return (EMULATED,)
    return tuple(_reasons(measured))


def drift(opening_p50_ms: Sequence[float]) -> float:
    """Change from the first to the last opening, as a share of the first."""
    return opening_p50_ms[-1] / opening_p50_ms[0] - 1 if opening_p50_ms else 0.0


def settling(samples_ms: Sequence[NDArray[Any]]) -> float:
    """Change from the first to the last third of an opening, as a share: the median over openings.

    What every opening does alike is no noise of the machine: the artifact or its engine had not settled.
    """
    thirds = [(len(samples) // 3, samples) for samples in samples_ms if len(samples) >= 9]
    changes = [float(np.median(samples[-third:]) / np.median(samples[:third])) - 1 for third, samples in thirds]
    return float(np.median(changes)) if changes else 0.0


def modes(samples: NDArray[Any]) -> tuple[float, float] | None:
    """The means of two groups that the samples fall into, or None where they do not.

    The split is the one that explains most variance (Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9,
    1979), found exactly on the sorted samples. The slowest hundredth is left out: single preemptions are no mode.
    """
    values = np.sort(np.asarray(samples, dtype=np.float64))[: max(1, int(len(samples) * 0.99))]
    count, total = len(values), float(values.sum())
    variance = float(values.var())
    if count < 20 or variance == 0:
        return None
    left = np.arange(1, count)
    below = np.cumsum(values)[:-1]
    low, high = below / left, (total - below) / (count - left)
    share = left / count
    explained = share * (1 - share) * (high - low) ** 2 / variance
    best = int(np.argmax(explained))
    apart = (high[best] - low[best]) / float(np.median(values))
    if explained[best] < SPLIT_EXPLAINS or min(share[best], 1 - share[best]) < SPLIT_SIDE or apart < SPLIT_DISTANCE:
        return None
    return float(low[best]), float(high[best])


def _reasons(measured: Measured) -> Iterator[str]:
    if not measured.converged and measured.error is None:
        yield _not_converged(measured)
    moved = drift(measured.opening_p50_ms)
    if abs(moved) > DRIFT_SHARE and measured.scenario != "cold":
        yield f"p50 drifted by {moved:+.0%} from the first opening to the last."
    if measured.scenario != "cold":
        yield from _about_samples(measured)
    load = measured.foreign_load
    if load is not None and load > FOREIGN_LOAD and measured.scenario != "cold":
        yield f"other processes used {load:.0%} of a core meanwhile."
    yield from _about_band(measured)
    snapshots = [shot for opening in measured.openings for shot in (opening.before, opening.after)]
    during = [opening.frequency_during_mhz for opening in measured.openings]
    yield from _about_frequency([*(shot.frequency_mhz for shot in snapshots), *during])
    yield from _about_heat(snapshots)
    yield from _about_quota(measured)


def _not_converged(measured: Measured) -> str:
    estimate = measured.p50
    if estimate is None:
        return f"{NOT_CONVERGED}: the time limit allowed a single opening, so there is no interval."
    openings = len(measured.openings)
    reached = f"the 95 % interval of p50 is ±{estimate.half_width:.1%} after {openings} openings"
    return f"{NOT_CONVERGED} within the time limit: {reached}."


def _about_samples(measured: Measured) -> Iterator[str]:
    unsteady = sum(not opening.steady for opening in measured.openings)
    if unsteady > UNSTEADY_SHARE * len(measured.openings):
        yield f"{unsteady} of {len(measured.openings)} openings had not reached a steady speed when they were timed."
    moving = settling(measured.samples_ms)
    if abs(moving) > SETTLING_SHARE and measured.streams == 1:
        yield f"the speed had not settled: within an opening the time of an inference moved by {moving:+.0%}."
    found = modes(np.concatenate(measured.samples_ms))
    if found:
        yield f"the times fall into two groups, around {found[0]:.3g} ms and {found[1]:.3g} ms."


def _about_frequency(frequencies: Sequence[float | None]) -> Iterator[str]:
    known = [mhz for mhz in frequencies if mhz]
    if known and max(known) > (1 + FREQUENCY_SHARE) * min(known):
        yield f"the CPU frequency moved between {min(known):.0f} and {max(known):.0f} MHz."


def _about_quota(measured: Measured) -> Iterator[str]:
    """The kernel stops a group that has used up its share of a period; between openings it stops others."""
    pairs = [(opening.before.quota_stops, opening.after.quota_stops) for opening in measured.openings]
    stops = sum(after - before for before, after in pairs if before is not None and after is not None)
    if stops:
        yield f"the CPU quota of this container stopped the process {stops} times."


def _about_band(measured: Measured) -> Iterator[str]:
    """Where openings were made to wait for the board to cool down: some began hot all the same."""
    begun = [opening.cooled for opening in measured.openings]
    hot = [cooled.after_c for cooled in begun if cooled.after_c is not None and not cooled.reached]
    if hot:
        few = f"{len(hot)} of {len(begun)} openings began hotter than the first, up to {max(hot):.0f} °C"
        yield f"{few}: waiting {sum(cooled.waited_s for cooled in begun):.0f} s did not cool the board down."


def _about_heat(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    events = [shot.throttle_events for shot in snapshots if shot.throttle_events is not None]
    held = sum(shot.throttled is True for shot in snapshots)
    flags = [shot.throttle_flags for shot in snapshots]
    said = unique([words for looks in pairwise(flags) for words in throttled_between(*looks)])
    if said:
        yield f"by the board's firmware {' and '.join(said)} meanwhile."
    elif held:
        yield f"the clock was held down, for heat or too little power, in {held} of {len(snapshots)} looks."
    elif events and events[-1] > events[0]:
        yield f"the CPU was throttled for heat {events[-1] - events[0]} times."
    if events or any(shot.throttled is not None for shot in snapshots):
        return
    hottest = max((shot.temperature_c for shot in snapshots if shot.temperature_c is not None), default=None)
    if hottest is not None and hottest >= TEMPERATURE_C:
        yield f"the CPU reached {hottest:.0f} °C, where boards lower their clock; throttling cannot be read here."
