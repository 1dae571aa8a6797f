"""What the quantization benchmark should show, and whether it does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.quantization_groups import Cell
from benchmarks.quantization_models import MODELS, SPOILED

Record = dict[str, Any]
Speed = Mapping[tuple[str, str], Record]

#: Share of another tool's int8 arithmetic that a file must have to be compared with it.
MACS = 0.98

SLACK_DB = 0.5
GAIN_DB = 8.0
DROP, DROP_HIGH = 0.005, 0.015
SIZE_RATIO = 3.5
SPEEDUP = 3.0
TIME_RATIO, MEMORY_RATIO = 1.10, 1.15
SEARCH_RATIO = 5.0

#: An fp32 artifact of this size is nearly all weights: the graph of a small model is larger than they are.
WEIGHT_HEAVY_BYTES = 1_000_000

#: Letters of an operator's name that a table shows.
LONGEST_NAME = 60

#: Whose defaults edgekit should be well above.
WELL_KNOWN = ("nncf", "ai-edge-quantizer")


@dataclass(frozen=True, slots=True)
class Aim:
    """One aim.

    Attributes:
        missed: where it is not met, as the end of a sentence.
    """

    text: str
    measured: str
    met: bool
    missed: str = ""


def aims(cells: Sequence[Cell], speed: Speed, costs: Sequence[Record]) -> list[Aim]:
    """Every aim; one that nothing was measured for is not met."""
    int8 = [cell for cell in cells if cell.precision == "int8" and cell.model in MODELS]
    return [
        _best(int8),
        _gain(int8),
        _accuracy([cell for cell in int8 if cell.way == "edgekit"]),
        _size(cells, speed),
        *(_speed(speed, target) for target in ("openvino", "tflite")),
        *_cost(costs),
        _search([cell for cell in int8 if cell.way == "edgekit"]),
        _kept([cell for cell in cells if cell.way == "edgekit" and cell.precision != "fp32"]),
        _planted(
            [cell for cell in cells if cell.model in SPOILED and (cell.precision, cell.way) == ("int8", "edgekit")]
        ),
    ]


def _best(int8: Sequence[Cell]) -> Aim:
    """SQNR at least that of the best library less a little, at no fewer int8 MACs."""
    gaps, missed = [], []
    for ours, others in _places(int8):
        best = max((cell for cell in others if cell.good), key=_db, default=None)
        if ours is None or not ours.good:
            missed.append(f"{others[0].model} {others[0].target} (no file)")
        elif best is not None:
            gap = _db(ours) - _db(best)
            gaps.append(gap)
            if gap < -SLACK_DB:
                missed.append(f"{ours.model} {ours.target} ({gap:+.1f} dB to {best.way})")
            elif not _as_many(ours, best):
                missed.append(f"{ours.model} {ours.target} ({ours.macs:.1%} int8 MACs, {best.way} {best.macs:.1%})")
    text = f"SQNR of int8 at least the best library's − {SLACK_DB} dB at ≥ {MACS:.0%} of its int8 MACs, everywhere"
    return _aim(text, f"{min(gaps):+.1f} to {max(gaps):+.1f} dB in {len(gaps)} artifacts" if gaps else None, missed)


def _gain(int8: Sequence[Cell]) -> Aim:
    """Median gain over the two well-known defaults; fewer int8 MACs than theirs count as no gain."""
    gains = []
    for ours, others in _places(int8):
        for other in others:
            if other.way in WELL_KNOWN and other.good:
                counts = ours is not None and ours.good and _as_many(ours, other)
                gains.append(_db(ours) - _db(other) if ours is not None and counts else 0.0)
    text = (
        f"Median gain over NNCF's and ai-edge-quantizer's defaults ≥ {GAIN_DB:g} dB, at ≥ {MACS:.0%} of their int8 MACs"
    )
    if not gains:
        return Aim(text, "not measured", False)
    return Aim(text, f"{median(gains):+.1f} dB over {len(gains)} artifacts", median(gains) >= GAIN_DB)


def _accuracy(ours: Sequence[Cell]) -> Aim:
    drops = [(cell, cell.drop) for cell in ours if cell.drop is not None]
    missed = [
        f"{cell.model} {cell.target} ({100 * drop[0]:.2f}, up to {100 * drop[2]:.2f})"
        for cell, drop in drops
        if drop[0] > DROP or drop[2] > DROP_HIGH
    ]
    text = f"Accuracy drop of int8 ≤ {100 * DROP:g} points, upper bound ≤ {100 * DROP_HIGH:g}, everywhere"
    largest = max((drop for _, drop in drops), default=None)
    told = None if largest is None else f"largest {100 * largest[0]:.2f} points"
    if told is not None:
        told += f", largest upper bound {100 * max(drop[2] for _, drop in drops):.2f}"
    return _aim(text, told, missed)


def _size(cells: Sequence[Cell], speed: Speed) -> Aim:
    """Of artifacts that are nearly all weights."""
    base = {(cell.model, cell.target): cell.size_bytes for cell in cells if cell.precision == "fp32"}
    ratios = {}
    for cell in cells:
        whole = base.get((cell.model, cell.target))
        if (
            cell.precision == "int8"
            and cell.way == "edgekit"
            and whole
            and whole >= WEIGHT_HEAVY_BYTES
            and cell.size_bytes
        ):
            ratios[f"{cell.model} {cell.target}"] = whole / cell.size_bytes
    for (model, target), times in speed.items():
        sizes = [times.get(name, {}).get("size_bytes") for name in ("fp32", "int8/edgekit")]
        if model == "resnet50" and all(sizes):
            ratios[f"{model} {target}"] = sizes[0] / sizes[1]
    missed = [f"{place} ({ratio:.2f})" for place, ratio in ratios.items() if ratio < SIZE_RATIO]
    text = f"fp32 size over int8 size ≥ {SIZE_RATIO:g} for weight-heavy models"
    return _aim(text, f"{min(ratios.values()):.2f} to {max(ratios.values()):.2f}" if ratios else None, missed)


def _speed(speed: Speed, target: str) -> Aim:
    figures = speed.get(("resnet50", target), {}).get("int8/edgekit", {})
    text = f"ResNet-50's shape in int8 ≥ {SPEEDUP:g} times faster than fp32 in {target}"
    if "speedup" not in figures:
        return Aim(text, "not measured", False)
    measured = f"{figures['speedup']:.2f} [{figures['low']:.2f}, {figures['high']:.2f}]"
    default = speed["resnet50", target].get("default")
    if default and "p50_ms" in default:
        measured += (
            f"; {default['p50_ms'] / figures['p50_ms']:.2f} over the engine's own default (bf16 where the CPU has it)"
        )
    return Aim(text, measured, figures["speedup"] >= SPEEDUP)


def _cost(costs: Sequence[Record]) -> Iterator[Aim]:
    done = [one for one in costs if "fault" not in one]
    for what, unit, limit in (("time", "s", TIME_RATIO), ("memory", "bytes", MEMORY_RATIO)):
        ratios = {f"{one['model']} {one['target']}": one[f"edgekit_{unit}"] / one[f"raw_{unit}"] for one in done}
        missed = [f"{place} ({ratio:.2f})" for place, ratio in ratios.items() if ratio > limit]
        told = f"{min(ratios.values()):.2f} to {max(ratios.values()):.2f}" if ratios else None
        yield _aim(f"A fixed recipe takes ≤ {limit:.2f} times the {what} of the raw call", told, missed)


def _search(ours: Sequence[Cell]) -> Aim:
    ratios = [record["search_ratio"] for cell in ours for record in cell.records if "search_ratio" in record]
    text = f"The search takes ≤ {SEARCH_RATIO:g} times its first trial"
    told = f"median {median(ratios):.1f}, at most {max(ratios):.1f}" if ratios else None
    return Aim(text, told or "not measured", bool(ratios) and max(ratios) <= SEARCH_RATIO)


def _kept(ours: Sequence[Cell]) -> Aim:
    """What edgekit says of its own files, against what this benchmark finds."""
    kept = [record for cell in ours for record in cell.records if "path" in record]
    missed = []
    for record in kept:
        place = f"{record['model']} {record['target']} {record['precision']}"
        said, found = record.get("own_macs"), record.get("macs") or (0, 0)
        if record.get("sqnr_db") is None:
            missed.append(f"{place} (does not run)")
        elif said is not None and found[1] and abs(said - found[0] / found[1]) > 1 - MACS:
            missed.append(f"{place} (says {said:.1%} int8 MACs, {found[0] / found[1]:.1%} counted)")
    text = "Every file that edgekit kept runs again, with the share of int8 MACs that it says"
    return _aim(text, f"{len(kept)} files" if kept else None, missed)


def _planted(ours: Sequence[Cell]) -> Aim:
    """The layer that only float can hold is found, named and mended."""
    missed, named = [], []
    for cell in ours:
        record, drop = cell.records[0], cell.drop
        if drop is None or drop[0] > DROP or not record.get("left_float"):
            missed.append(cell.target)
        else:
            layers = ", ".join(f"`{_short(name)}`" for name in record["left_float"])
            named.append(f"{cell.target}: {layers} ({cell.macs or 0:.0%} of the MACs stay int8)")
    text = "One channel 1000 times larger: accuracy control finds the layer, names it and keeps the accuracy"
    return _aim(text, "; ".join(named) or ("nothing mended" if ours else None), missed)


def _short(name: str) -> str:
    """The end of a name, which tells the layer."""
    return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME:]}"


def _places(int8: Sequence[Cell]) -> Iterator[tuple[Cell | None, list[Cell]]]:
    """By model and target: edgekit's cell and those of the libraries."""
    for place in dict.fromkeys((cell.model, cell.target) for cell in int8):
        here = [cell for cell in int8 if (cell.model, cell.target) == place]
        others = [cell for cell in here if cell.way != "edgekit"]
        if others:
            yield next((cell for cell in here if cell.way == "edgekit"), None), others


def _db(cell: Cell) -> float:
    return -math.inf if cell.sqnr_db is None else cell.sqnr_db


def _as_many(ours: Cell, other: Cell) -> bool:
    """Whether as much of the arithmetic is in int8, but for a little."""
    return (ours.macs or 0.0) >= MACS * (other.macs or 0.0)


def _aim(text: str, measured: str | None, missed: Sequence[str]) -> Aim:
    where = f" in {', '.join(missed)}" if missed else ""
    return Aim(text, measured or "not measured", measured is not None and not missed, where)
