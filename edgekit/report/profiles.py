"""What a profile says: where the time goes, how that was measured, and what it is not."""

from __future__ import annotations

from edgekit.figures import BenchRow, OperatorTime, Profile
from edgekit.report import text
from edgekit.report.collect import Summary

#: Operators that a screen and a document show; the page and ``--json`` have all.
MOST_ROWS = 10

#: A clock that counts in these, and the times of fewer than so many of them that are shown as it counts.
WHOLE_MS, MOST_WHOLE = 1e-3, 1000

#: Layers that the sentence about them names.
_NAMED = 3

#: Layers of one operator that are named beside it; ``--json`` has all.
_MOST_LAYERS = 4


def shown(summary: Summary) -> tuple[tuple[BenchRow, Profile], ...]:
    """Timings with a profile."""
    return tuple((row, row.profile) for row in summary.timings if row.profile is not None)


def title(row: BenchRow) -> str:
    """Whose time it is."""
    return f"Where the time of {text.where(row.name, row)} goes"


def sentences(profile: Profile) -> tuple[str, ...]:
    """How it was measured, how far that is from an inference as it is, and what else is to be known."""
    notes = (f"{note[:1].upper()}{note[1:]}" for note in profile.notes)
    return (_measured(profile), *filter(None, (_by_layer(profile),)), *notes)


def several(profile: Profile) -> bool:
    """Whether some layer has several operators, so that its own sum says something."""
    return any(one.operators > 1 for one in profile.layers)


def _by_layer(profile: Profile) -> str:
    """The layers that take the most time, where these are not the operators that do."""
    first = profile.layers[:_NAMED]
    if not profile.total_ms or not any(one.operators > 1 for one in first):
        return ""
    named = []
    for one in first:
        of = f" in {one.operators} operators" if one.operators > 1 else ""
        named.append(f"{joined(one.layers)} {text.percent(one.share)}{of}")
    return f"By layer of the source: {', '.join(named)}."


def _measured(profile: Profile) -> str:
    total = f"{text.count(len(profile.operators), 'operator')} add up to {text.duration(profile.total_ms)}"
    if profile.profiled_ms is None:
        return (
            "Bisection, as the engine has no profile: prefixes of the graph in turns, each opened "
            f"{profile.runs} times. {total}; a whole inference took {text.duration(profile.plain_ms)} there, "
            "which is no latency."
        )
    slower = profile.profiled_ms / profile.plain_ms - 1
    return (
        f"Engine profile of {text.count(profile.runs, 'inference')}: {total}, which is no latency. An inference took "
        f"{text.duration(profile.profiled_ms)} with the profile and {text.duration(profile.plain_ms)} without "
        f"({100 * slower:+.0f} %)."
    )


def time(one: OperatorTime, profile: Profile) -> str:
    """The time of an operator, or what it is less than: the clock's resolution, or the noise of the difference."""
    if one.noise_ms is not None:
        return _between(one.ms, one.noise_ms)
    if profile.resolution_ms >= WHOLE_MS > one.ms / MOST_WHOLE:
        return "< 1 µs" if one.ms < WHOLE_MS else f"{1000 * one.ms:.0f} µs"
    return text.duration(one.ms)


def _between(milliseconds: float, noise_ms: float) -> str:
    if milliseconds < noise_ms:
        return f"< {text.duration(milliseconds + noise_ms)}"
    value, _, unit = text.duration(milliseconds).partition(" ")
    return f"{value} ±{text.number(noise_ms if unit == 'ms' else 1000 * noise_ms, 1)} {unit}"


def layers(one: OperatorTime) -> str:
    """The layers that an operator computes; the operator itself where none is known."""
    if not one.layers:
        return f"({one.name})"
    return joined(one.layers)


def joined(names: tuple[str, ...]) -> str:
    """Fused layers in a few words."""
    more = len(names) - _MOST_LAYERS
    return " + ".join(names[:_MOST_LAYERS]) + (f" + {more} more" if more > 0 else "")


def left_out(profile: Profile, most: int) -> str:
    """What is not shown, as a sentence; empty where everything is."""
    rest = profile.operators[most:]
    if not rest:
        return ""
    taken = text.percent(sum(one.share for one in rest))
    return f"{text.count(len(rest), 'more operator')} with {taken} of the time: see --json or the report."
