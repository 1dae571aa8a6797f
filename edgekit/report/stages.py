"""What a comparison stage by stage says: which stage breaks first, and the way from the source in one line."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.checked import CheckRow, StageParity
from edgekit.report import layers, text
from edgekit.report.collect import Summary

#: What each stage does, as a sentence goes on.
_NAMES = {"export": "exported", "quantize": "quantized", "device": "on the device"}


def compared(summary: Summary) -> tuple[CheckRow, ...]:
    """Checks with several stages, or one that broke; those that failed first."""
    checks = [check for line in summary.lines for check in line.checks if len(check.stages) > (check.blame is None)]
    return tuple(sorted(checks, key=lambda check: check.blame is None))


def name(stage: StageParity) -> str:
    """What the source has become, such as ``exported``."""
    return _NAMES.get(stage.stage, stage.stage)


def first_broken(row: CheckRow) -> int | None:
    """Place of the stage that is to blame; None where nothing failed."""
    if row.blame is None:
        return None
    return next((place for place, one in enumerate(row.stages) if one.stage == row.blame.stage), None)


def sqnr(stage: StageParity) -> str:
    """Beside what the stage was given; else why there is no figure."""
    if stage.against_parent is None:
        return "did not run" if stage.against_source is None else "its parent is gone"
    return text.sqnr(stage.against_parent)


def sentence(row: CheckRow) -> str:
    """The way from the source, with what each stage costs."""
    way = " → ".join(("source", *_parts(row)))
    last = row.stages[-1].against_source
    whole = f"; {text.sqnr(last)} from the source" if len(row.stages) > 1 and last is not None else ""
    return f"{layers.name(row)}: {way}{whole}."


def _parts(row: CheckRow) -> Iterator[str]:
    broken = first_broken(row)
    for place, stage in enumerate(row.stages):
        mark = ", the first to break" if place == broken else ""
        yield f"{name(stage)} ({sqnr(stage)}{mark})"
