"""Figures as people read them: the same words in every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from edgekit.checked import Accuracy, CheckRow, Distance, LayerParity, OutputParity
from edgekit.figures import ArtifactResult, BenchRow, Gain, Pays, Quantization
from edgekit.results import SensitivityRow
from edgekit.runtimes.placement import CPU
from edgekit.types import Attempt, Evidence, Reading, Verdict

#: Stands for a figure that was not measured.
NONE = "–"

#: What a verdict says.
MEANING: dict[Verdict, str] = {
    "verified": "every criterion held",
    "weak": "no criterion failed, but the evidence cannot carry the claim",
    "failed": "a criterion failed",
    "error": "something could not be made or run",
}


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent where that stays short."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 10 ** max(digits, 4):
        decimals = max(0, digits - len(str(int(abs(value)))) if abs(value) >= 1 else digits - 1 - _exponent(value))
        return f"{value:.{decimals}f}"
    return f"{value:.{digits - 1}e}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def size(count: int | None) -> str:
    """Bytes in decimal units, as file managers and download pages show them."""
    if count is None:
        return NONE
    if count < 1000:
        return f"{count} B"
    value, unit = count / 1e3, "kB"
    for larger in ("MB", "GB"):
        if value >= 1000:
            value, unit = value / 1e3, larger
    return f"{number(value)} {unit}"


def flops(count: int) -> str:
    """Floating point operations in decimal units, and what is counted."""
    value, unit = float(count), ""
    for larger in ("k", "M", "G", "T"):
        if value >= 1000:
            value, unit = value / 1e3, larger
    return f"{number(value)} {unit}FLOP for one sample (convolutions and products)"


def ms(value: float | None) -> str:
    return NONE if value is None else f"{number(value)} ms"


def duration(milliseconds: float) -> str:
    """In microseconds where that reads better: ``24.5 µs``, ``1.03 ms``."""
    if milliseconds >= 1:
        return f"{number(milliseconds)} ms"
    microseconds = 1000 * milliseconds
    return f"{number(microseconds, 3 if microseconds >= 1 else 2)} µs"


def percent(share: float | None, digits: int = 1) -> str:
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def times(factor: float | None) -> str:
    """A speed-up: above 1 is faster."""
    return NONE if factor is None else f"{number(factor, 3 if factor >= 1 else 2)}×"


def interval(bounds: Sequence[float] | None) -> str:
    return NONE if bounds is None else f"{number(bounds[0])} to {number(bounds[1])}"


def half_width(value: float, bounds: Sequence[float]) -> str:
    """Half of the interval as a share of the value: what a measurement converges on."""
    return f"±{50 * (bounds[1] - bounds[0]) / value:.1f} %" if bounds else NONE


def rate(per_second: float | None) -> str:
    return NONE if per_second is None else f"{per_second:,.0f}" if per_second >= 100 else number(per_second)


def sqnr(output: OutputParity | LayerParity | Distance | None) -> str:
    """Decibels. No figure with a difference of zero means equal; no figure with another means unknown."""
    if output is None:
        return NONE
    if output.sqnr_db is None:
        return "equal" if output.max_abs == 0 else NONE
    return f"{output.sqnr_db:.1f} dB"


def count(number_of: int, noun: str) -> str:
    """``1 sample``, ``1,024 samples``."""
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def judged_on(found: Mapping[str, Evidence], against: str | None = None) -> list[str]:
    """What the verdicts rest on: one phrase for each different evidence, with the commands where they differ.

    Args:
        found: by command.
        against: what a single check compared with.
    """
    phrases: dict[str, list[str]] = {}
    for command, what in found.items():
        phrases.setdefault(evidence(what), []).append(command)
    verbs = {phrase: "timed" if commands == ["bench"] else "judged" for phrase, commands in phrases.items()}
    if len(phrases) == 1:
        verb = f"compared with {near(against)}" if against else None
        return [f"{verb or verbs[phrase]} on {phrase}" for phrase in phrases]
    return [f"{', '.join(commands)} {verbs[phrase]} on {phrase}" for phrase, commands in phrases.items()]


def near(path: str) -> str:
    """A path as seen from the folder of the command, where it lies in that."""
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


def evidence(what: Evidence) -> str:
    """What a verdict rests on, in one phrase."""
    shapes = f" in {', '.join(what.shapes)}" if what.shapes else ""
    return f"{count(what.samples, f'{what.inputs} sample')}{shapes}"


def reading(what: Reading | None) -> str:
    """A fact about an engine, with how it is known unless the engine said so."""
    if what is None or what.value is None:
        return "not reported"
    return what.value if what.how == "engine" else f"{what.value} ({what.how})"


def where(name: str, row: BenchRow | CheckRow) -> str:
    """An artifact with what it ran on, unless that is the CPU of this machine: ``onnx fp32 (WebGPU) on pi5``."""
    unit = row.runtime.partition(":")[2]
    with_unit = f"{name} ({unit})" if unit else name
    return with_unit if row.device == "local" else f"{with_unit} on {row.device}"


#: Peaks of memory that differ by less than this factor are not told apart: allocators take more than they need.
ALIKE = 1.1


def pays_sentence(name: str, pays: Pays) -> str:
    """Whether a quantized artifact is faster and smaller than its parent, with the interval and the likely reason."""
    bounds = f" (95 % interval {' to '.join(times(bound) for bound in pays.ci95)})" if pays.ci95 else ""
    over = f" over {pays.over}" if pays.over else ""
    speed = f"{times(pays.speedup)}{bounds}{over}" if pays.speedup is not None else "not timed"
    answer = {"yes": "pays", "no": "does not pay", "not shown": "no gain or loss shown"}[pays.answer]
    alike = pays.memory_ratio is not None and 1 / ALIKE < pays.memory_ratio < ALIKE
    memory = "about as much memory" if alike else _saved(pays.memory_ratio, "less memory", "more memory")
    saved = [_saved(pays.size_ratio, "smaller", "larger"), memory]
    facts = "; ".join([f"{answer}, {speed}", *filter(None, saved)])
    unit = "" if pays.accelerator.upper() == CPU else f" ({pays.accelerator})"
    reason = f" Likely reason: {pays.likely_reason}" if pays.likely_reason else ""
    default = f" Unless pinned, the engine runs the original in {pays.by_default} here (inferred), untimed."
    return f"{name} on {pays.device}{unit}: {facts}.{reason}{default if pays.by_default else ''}"


def gain_sentence(gains: Sequence[Gain]) -> str:
    """The artifact that is the most faster than the way to run the source that was named first."""
    best = max((gain for gain in gains if gain.over == gains[0].over), key=lambda gain: gain.speedup)
    where = "here" if best.device == "local" else f"on {best.device}"
    ratio = f"{number(best.speedup)} times as fast as {best.over} {where}"
    return f"{best.name} is {ratio} (95 % interval {interval(best.ci95)})."


def _saved(ratio: float | None, gain: str, loss: str) -> str:
    if ratio is None:
        return ""
    return f"{times(ratio)} {gain}" if ratio >= 1 else f"{times(1 / ratio)} {loss}"


#: Metrics that are a share of the whole; any other is in a unit of its own.
_SHARES = frozenset({"accuracy", "top5", "f1", "iou"})


def metric(name: str, value: float | None, digits: int = 1) -> str:
    """A task metric: a share in percent, anything else as it is."""
    return percent(value, digits) if name in _SHARES else number(value)


def metric_change(found: Accuracy) -> str:
    """The source's figure and the artifact's: ``98.9 → 98.7 %``."""
    source, value = metric(found.metric, found.source_value), metric(found.metric, found.value)
    return f"{source.removesuffix(' %')} → {value}"


def drop_interval(found: Accuracy) -> str:
    """The interval of the loss, in points where the metric is a share."""
    if not found.drop_ci95:
        return NONE
    if found.metric in _SHARES:
        return " to ".join(f"{100 * bound:.1f}" for bound in found.drop_ci95)
    return interval(found.drop_ci95)


def quantization_sentence(line_name: str, found: Quantization) -> str:
    """What recipe an artifact has, among how many, and what that rests on."""
    tried = len(found.trials)
    chosen = f", chosen among {tried} on {count(found.selection_samples, 'sample')}" if tried > 1 else ""
    ranges = f", ranges from {count(found.calibration_samples, 'sample')}" if found.calibration_samples else ""
    kind = "" if found.model_kind == "other" else f" for a {found.model_kind} model"
    return f"{line_name}: {found.recipe}{kind}{chosen}{ranges}."


def left_float_sentence(line_name: str, found: Quantization) -> str:
    """The operators that went back to float to keep the accuracy budget."""
    stay = "stays" if len(found.left_float) == 1 else "stay"
    return f"{line_name}: {count(len(found.left_float), 'operator')} {stay} in float: {', '.join(found.left_float)}."


def short(layer: str, most: int) -> str:
    """The end of a long name, which tells operators apart, as a pattern that ``--ignore`` takes."""
    return layer if len(layer) <= most else f"*{layer[1 - most :]}"


def broken(recipe: str, most: int = 14) -> str:
    """A recipe's name in lines of at most ``most`` characters where its words allow it."""
    lines = [""]
    for word in recipe.replace("_", "_ ").split():
        lines = [*lines[:-1], lines[-1] + word] if len(lines[-1] + word) <= most else [*lines, word]
    return "\n".join(filter(None, lines))


def sensitivity_sentence(row: SensitivityRow) -> str:
    """What was ranked, and how completely."""
    left = f"; {count(row.not_measured, 'operator')} not measured for lack of time" if row.not_measured else ""
    what = f"{count(len(row.layers), 'operator')} quantized one at a time ({row.recipe}){left}"
    return (
        f"{row.target} {row.precision}: {what}. SQNR of the worst output, and each operator's part of the summed noise."
    )


#: Eighths of a character.
_BLOCKS = " ▏▎▍▌▋▊▉"


def bar(share: float, width: int) -> str:
    """A bar of text, ``width`` characters long for a share of 1; never empty for what is above zero."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def route_sentence(row: ArtifactResult) -> str:
    """The route of an artifact, what its timing showed where several were timed, and where it loads."""
    timed = [attempt.reason for attempt in row.attempts if attempt.route == row.route and attempt.reason]
    loads = [f"loads in {row.loads_in} and newer"] if row.loads_in else []
    return "; ".join([str(row.route), *timed, *loads])


def attempt_sentence(attempt: Attempt) -> str:
    reason = f": {attempt.reason}" if attempt.reason else ""
    return f"{attempt.route}: {attempt.outcome}{reason}"


def moment(iso: str | None) -> str:
    """``2026-03-01 12:30 UTC`` for an ISO 8601 time; text that is none stays as it is."""
    if not iso:
        return ""
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return iso


def age(iso: str, now: datetime | None = None) -> str:
    """``3 minutes ago`` for an ISO 8601 time."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(iso)).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{count(int(seconds // length), unit)} ago"
    return "less than a minute ago"
