"""The document of the quantization benchmark, from its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from benchmarks.measuring import conditions, table
from benchmarks.quantization_aims import Aim, aims
from benchmarks.quantization_groups import Cell, cells
from benchmarks.quantization_models import MODELS

Record = dict[str, Any]

LIBRARIES = ("keras", "jax", "nncf", "openvino", "onnx", "onnxruntime", "ai-edge-quantizer", "ai-edge-litert")

_HEAD = ("Model", "Target", "Way", "SQNR dB", "int8 MACs", "Accuracy before → after", "Drop, points [95 %]",
         "fp32 size / size", "Speed-up over fp32 [95 %]", "Call s")  # fmt: skip

_INT8 = """
## int8, each library's own default call beside it

Medians over the trainings ({seeds}), each tested on another third of the data; the drop of accuracy is paired and
pooled over them. SQNR is that of the logits against the source's; int8 MACs are the share of multiply-accumulates that
take two operands of at most 8 bits, counted in every tool's file by the same code. "Call s" is the time of the
library's call, and for edgekit that of the whole search with every trial run on its engine, on the first training.
One thread, batch 1; in models as small as these the fixed cost of a call hides much of what the arithmetic gains.
"""

_OTHERS = """
## Other precisions

Of the first training. `int8-dynamic` quantizes activations while it runs; `int8-weights`, `int4-weights` and `fp16`
only store the weights in fewer bits.
"""

_SPEED = """
## A network of ResNet-50's shape

Random weights: only its speed means anything. One thread, batch 1; "default" is fp32 in what the engine chooses by
itself, which is bf16 in OpenVINO on a CPU that has it.
"""

_COST = """
## What edgekit adds to the raw call

int8 with the same settings, samples and artifact, by edgekit's job and by a script of the raw library, in turns, each
time in a fresh process; imports excluded from the time.
"""


def document(records: Sequence[Record]) -> tuple[str, bool]:
    """The page, and whether every aim is met."""
    found = cells(records)
    speed = {(one["model"], one["target"]): one["times"] for one in records if one.get("kind") == "speed"}
    costs = [one for one in records if one.get("kind") == "cost"]
    told = aims(found, speed, costs)
    seeds = len({record["seed"] for record in records if "seed" in record})
    trained = [cell for cell in found if cell.model in MODELS]
    converter = any(cell.way == "TFLiteConverter" for cell in found)
    parts = [
        "# Quantization, measured\n",
        conditions(LIBRARIES, "python benchmarks/quantization.py --output docs/quantization-table.md") + "\n",
        "## Aims\n",
        _aims(told),
        _INT8.format(seeds=seeds) + ("" if converter else "\nTFLiteConverter was left out: no TensorFlow was given.\n"),
        _table([cell for cell in trained if cell.precision == "int8"], found, speed),
        _OTHERS,
        _table([cell for cell in trained if cell.precision not in ("int8", "fp32")], found, speed, precision=True),
        "\n## What did not come about\n",
        _faults(found),
        _SPEED,
        _times(speed.items()),
        _COST,
        _costs(costs),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts), all(aim.met for aim in told)


def _aims(told: Sequence[Aim]) -> str:
    rows = [(aim.text, aim.measured, "met" if aim.met else f"**not met**{aim.missed}") for aim in told]
    return table(("Aim", "Measured", ""), rows)


def _table(chosen: Sequence[Cell], found: Sequence[Cell], speed: Any, *, precision: bool = False) -> str:
    base = {(cell.model, cell.target): cell for cell in found if cell.precision == "fp32"}
    rows = [_row(cell, base[cell.model, cell.target], speed, precision) for cell in chosen if cell.good]
    head = (*_HEAD[:2], "Precision", *_HEAD[2:]) if precision else _HEAD
    return table(head, rows)


def _row(cell: Cell, base: Cell, speed: Any, precision: bool) -> list[str]:
    before = median(sum(record["table"][:2]) / sum(record["table"]) for record in cell.good)
    after = median(record["accuracy"] for record in cell.good)
    drop = cell.drop or (0.0, 0.0, 0.0)
    name = cell.way if cell.way == "edgekit" else f"{cell.way} default"
    first = next((record for record in cell.records if record["seed"] == 0), {})
    missing = len(cell.records) - len(cell.good)
    return [
        cell.model,
        cell.target,
        *([cell.precision] if precision else []),
        f"**{name}**" if cell.way == "edgekit" else name,
        f"{cell.sqnr_db:.1f}" + (f" ({missing} of {len(cell.records)} do not run)" if missing else ""),
        "–" if cell.macs is None else f"{cell.macs:.1%}",
        f"{before:.2%} → {after:.2%}",
        f"{100 * drop[0]:.2f} [{100 * drop[1]:.2f}, {100 * drop[2]:.2f}]",
        f"{base.size_bytes / cell.size_bytes:.2f}" if base.size_bytes and cell.size_bytes else "–",
        _speedup(speed.get((cell.model, cell.target), {}).get(f"{cell.precision}/{cell.way}")),
        f"{first['seconds']:.2f}" if first.get("seconds") is not None else "–",
    ]


def _speedup(figures: Record | None) -> str:
    if figures is None or "speedup" not in figures:
        return "–"
    return f"{figures['speedup']:.2f} [{figures['low']:.2f}, {figures['high']:.2f}]"


def _faults(found: Iterable[Cell]) -> str:
    """Cells without a file, or with one that does not run; one line for all seeds that say the same."""
    said: dict[tuple[str, ...], int] = {}
    for cell in found:
        for record in cell.records:
            reason = record.get("reason") or record.get("fault")
            if reason and record.get("sqnr_db") is None:
                place = (cell.model, f"{cell.target} {cell.precision}", cell.way, _plain(reason))
                said[place] = said.get(place, 0) + 1
    rows = [(*place[:3], str(count), place[3]) for place, count in said.items()]
    return table(("Model", "Artifact", "Way", "Trainings", "Why"), rows) if rows else "Everything ran."


def _plain(reason: str) -> str:
    return " ".join(reason.replace("|", "/").split())[:180]


def _times(speed: Iterable[tuple[tuple[str, str], Record]]) -> str:
    rows = [
        (target, name, f"{figures['p50_ms']:.2f}", _speedup(figures))
        for (model, target), times in speed
        if model == "resnet50"
        for name, figures in times.items()
        if "p50_ms" in figures
    ]
    return table(("Target", "Artifact", "p50 ms", "Speed-up over fp32 [95 %]"), rows) if rows else "Not measured."


def _costs(costs: Sequence[Record]) -> str:
    rows = [
        (
            f"{one['model']}, {one['target']}",
            f"{one['edgekit_s']:.2f}",
            f"{one['raw_s']:.2f}",
            f"{one['edgekit_s'] / one['raw_s']:.2f}",
            f"{one['edgekit_bytes'] / 2**20:.0f}",
            f"{one['raw_bytes'] / 2**20:.0f}",
            f"{one['edgekit_bytes'] / one['raw_bytes']:.2f}",
        )
        for one in costs
        if "fault" not in one
    ]
    head = ("Model, target", "edgekit s", "raw s", "Ratio", "edgekit peak MiB", "raw peak MiB", "Ratio")
    return table(head, rows) if rows else "Not measured."
