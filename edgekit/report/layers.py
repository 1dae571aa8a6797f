"""What a comparison layer by layer says: which layer is marked, which are shown, and the sentences about them."""

from __future__ import annotations

from edgekit.checked import Blame, CheckRow, LayerParity
from edgekit.report import text
from edgekit.report.collect import Summary

#: Rows of a screen; the page and ``--json`` have all.
MOST_ROWS = 12

#: Layers in front of the culprit that a screen shows: the last that are right.
_BEFORE = 4

#: What the column of that name holds.
ADDED = "Added: the SQNR that a layer would have if its inputs were right."

_UNKNOWN = "fused into others, or no tensor holds the values"

#: Layers that the sentence about noise names.
_NAMED = 3


def looked_at(summary: Summary) -> tuple[CheckRow, ...]:
    """Checks that have something to say about layers, those with a culprit first.

    What was made from a faulty artifact shows the layers of that one: they stand once.
    """
    found: list[CheckRow] = []
    checks = [check for line in summary.lines for check in line.checks if check.layers or check.failing is not None]
    for check in sorted(checks, key=lambda check: check.blame is None):
        if not any((check.layers, check.failing) == (other.layers, other.failing) for other in found):
            found.append(check)
    return tuple(found)


def name(row: CheckRow) -> str:
    """The artifact, and where it ran unless that is this machine."""
    return text.where(f"{row.target} {row.precision}", row)


def title(row: CheckRow) -> str:
    """Whose layers they are: those of the stage to blame, which may be that of another artifact."""
    of_another = row.blame is not None and row.stages and row.blame.stage != row.stages[-1].stage
    return f"Layers of {name(row)}" + (f", stage {row.blame.stage}" if of_another and row.blame is not None else "")


def stage(row: CheckRow) -> str | None:
    """The stage of a culprit, without the layer; None for a file of its own, which went through none."""
    return None if row.blame is None else row.blame.stage or None


def culprit_index(row: CheckRow) -> int | None:
    """Place of the layer that is to blame; None where no single layer is."""
    if row.blame is None:
        return None
    named = (index for index, layer in enumerate(row.layers) if layer.layer == row.blame.layer)
    return next(named, None) if row.blame.layer is not None else _first_bad(row, 0)


def first_shown_wrong(row: CheckRow) -> LayerParity | None:
    """The first layer from the culprit on whose tensor is wrong: a culprit that was fused has none of its own."""
    start = culprit_index(row)
    found = None if start is None else _first_bad(row, start)
    return None if found is None else row.layers[found]


def shown(row: CheckRow, most: int = MOST_ROWS) -> tuple[int, ...]:
    """Places of the layers worth a screen, in the order of execution.

    Args:
        row: a check with layers.
        most: how many; around the culprit, or those that add the most noise where there is none.
    """
    if len(row.layers) <= most:
        return tuple(range(len(row.layers)))
    culprit = culprit_index(row)
    if culprit is not None:
        first = min(max(culprit - _BEFORE, 0), len(row.layers) - most)
        return tuple(range(first, first + most))
    noisy = _by_noise(row)
    rest = [index for index, layer in enumerate(row.layers) if layer.good is not None and index not in noisy]
    return tuple(sorted([*noisy, *rest][:most]))


def holds(row: CheckRow, index: int) -> str:
    """``yes`` or ``no``, ``culprit`` for the layer to blame, and no answer for a layer without a tensor."""
    if index == culprit_index(row):
        return "culprit"
    return {True: "yes", False: "no", None: text.NONE}[row.layers[index].good]


def sentences(row: CheckRow) -> tuple[str, ...]:
    """Who is to blame and by how much; else which layers add the most noise."""
    if row.blame is not None:
        return (_culprit_sentence(row, row.blame),)
    return tuple(filter(None, (_held_sentence(row), _noise_sentence(row))))


def unknown(row: CheckRow) -> str:
    """What layers without figures are; empty where there are none."""
    without = sum(layer.good is None for layer in row.layers)
    return "" if not without else f"{text.count(without, 'layer')} without figures: {_UNKNOWN}."


def _culprit_sentence(row: CheckRow, blame: Blame) -> str:
    sentence = f"{name(row)}: {_place(row, blame)}"
    wrong = first_shown_wrong(row)
    if wrong is None:
        return f"{sentence}."
    which = "it" if wrong.layer == blame.layer else wrong.layer
    gap = f"differs by up to {text.number(wrong.max_abs, 2)}"
    allowed = "" if wrong.tolerance is None else f" where {text.number(wrong.tolerance, 2)} is allowed"
    ratio = "" if wrong.sqnr_db is None else f" ({wrong.sqnr_db:.1f} dB)"
    return f"{sentence}. What comes out of {which} {gap}{allowed}{ratio}."


def _place(row: CheckRow, blame: Blame) -> str:
    """Where the fault begins: stage and layer, as far as they are known."""
    if blame.where:
        return f"the fault begins in {f'stage {blame.stage}, in ' if blame.stage else ''}{blame.where}"
    known = sum(layer.good is not None for layer in row.layers)
    hold = f": all {text.count(known, 'layer')} that can be compared hold" if first_shown_wrong(row) is None else ""
    none = f"no single layer is to blame{hold if known else ''}"
    return f"the fault begins in stage {blame.stage}; {none}" if blame.stage else none


def _held_sentence(row: CheckRow) -> str:
    known = [layer for layer in row.layers if layer.good is not None]
    wrong = [layer.layer for layer in known if not layer.good]
    if not wrong:
        return f"{name(row)}: all {text.count(len(known), 'layer')} that can be compared hold." if known else ""
    differ = "differs" if len(wrong) == 1 else "differ"
    outputs = "" if row.verdict in ("failed", "error") else "; the outputs hold all the same"
    share = f"{len(wrong)} of {text.count(len(known), 'layer')} {differ} by more than {row.precision} promises"
    return f"{name(row)}: {share}, the first is {wrong[0]}{outputs}."


def _noise_sentence(row: CheckRow) -> str:
    found = [row.layers[index] for index in _by_noise(row)[:_NAMED]]
    named = ", ".join(f"{layer.layer} ({layer.added_db:.1f} dB)" for layer in found if layer.added_db is not None)
    return f"The most noise is added by {named}." if named else ""


def _by_noise(row: CheckRow) -> list[int]:
    """Places of the layers whose own noise is known, the noisiest first."""
    known = [(layer.added_db, index) for index, layer in enumerate(row.layers) if layer.added_db is not None]
    return [index for _, index in sorted(known)]


def _first_bad(row: CheckRow, start: int) -> int | None:
    return next((index for index in range(start, len(row.layers)) if row.layers[index].good is False), None)
