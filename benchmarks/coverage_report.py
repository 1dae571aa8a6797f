"""The document of the coverage benchmark: `docs/coverage.md`, made of records alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from benchmarks.coverage_routes import first_routes, route_table
from benchmarks.measuring import conditions, table

Record = dict[str, Any]

TARGETS = ("onnx", "openvino", "tflite")

#: What counts as an artifact that runs and agrees; ``weak`` says that the evidence cannot carry more.
GOOD = ("verified", "weak")

#: A path of this machine in an error message.
_PATH = re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+[\w.+-]*")

_TITLE = """# Coverage

Every model of [benchmarks/zoo](../benchmarks/zoo) (random weights, scaled so that outputs vary), from every Keras
backend or its own framework, as code or as a saved file, to every target; the files of `onnx`, `openvino` and `tflite`
are those that stock converters write of the torch models. Each by `edgekit export`, and by the documented call of each
converter alone: `keras.Model.export`, `torch.onnx.export`, `openvino.convert_model`, `litert_torch.convert`,
`jax2onnx.to_onnx`.

A stock result that exports is run on its engine and compared with the source at batch 1, and at batch 3 where it
declares a free batch, by the criteria that edgekit itself uses; names and order that it lost are forgiven. Every
artifact of edgekit is compared once more, in a fresh process, with code of its own, on samples that edgekit did not
see; `wrong` counts good verdicts that did not hold.

"""

_MATRIX = """
Each cell: edgekit / stock. `ok` runs and agrees; `weak` agrees, but not all was shown (a mixed-precision source, a
size that was not run); `wrong` runs and differs; `no run` exports a file that its engine refuses; `–` exports
nothing; `·` no call is documented; anything else is why edgekit refused. ₁: the batch is fixed, which the artifact
declares.
"""

_ROUTES = """
## Routes

Every converter path that was tried on its own or on the way to an accepted one.
"""

_FIRST = """
## Would the first route have done?

The order of routes is learned on all other families (share accepted, then seconds), then used on the family left out:
how often is the first route accepted, of the cells that any route reaches? Without `--all-routes` a cell knows only
the routes up to the accepted one.
"""


def document(records: Sequence[Record], absent: Sequence[tuple[str, str, str]], speed: str = "") -> str:
    """Everything, as Markdown.

    Args:
        records: one per cell, see `coverage_cells`.
        absent: model, start and reason of what was not measured.
        speed: the section of `export_speed`, or nothing.
    """
    cells = [record for record in records if record["way"] in ("edgekit", "stock")]
    libraries = ("keras", "torch", "jax", "openvino", "onnxruntime", "jax2onnx", "litert-torch", "litert-converter")
    parts = [_TITLE, conditions(libraries, "python benchmarks/coverage.py --output docs/coverage.md"), "\n"]
    parts += ["\n## Summary\n\n", _summary(cells), "\n", _any_backend(cells), "\n## Time\n\n", _time(cells), "\n"]
    parts += [
        "\n## Models\n",
        _MATRIX,
        *(_matrix(cells, framework) for framework in ("keras", "torch", "jax", "files")),
    ]
    parts += ["\n## What edgekit refused, and why\n\n", _refusals(cells), "\n"]
    parts += ["\n## What the converters alone gave\n\n", _stock(cells), "\n"]
    parts += ["\n## What was not measured\n\n", _absent(absent), "\n"]
    parts += [_ROUTES, "\n", route_table(records), "\n", _FIRST, "\n", first_routes(records), "\n", speed]
    return "".join(parts)


def framework_of(start: str) -> str:
    """``keras`` for ``keras@jax``, ``torch`` for ``torch.nn``, ``files`` for ``onnx``."""
    name = start.partition("@")[0].partition(".")[0]
    return name if name in ("keras", "torch", "jax") else "files"


def _by(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    found: dict[Any, list[Record]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return found


def _count(records: Iterable[Record], way: str, *statuses: str) -> int:
    return sum(record["way"] == way and record["status"] in statuses for record in records)


def _counts(cells: list[Record]) -> list[str]:
    """Columns of the summary."""
    ours, stock = (sum(record["way"] == way for record in cells) for way in ("edgekit", "stock"))
    row = [ours, _count(cells, "edgekit", "verified"), _count(cells, "edgekit", "weak")]
    row += [ours - sum(row[1:]) - _count(cells, "edgekit", "wrong"), _count(cells, "edgekit", "wrong")]
    given = [_count(cells, "stock", *found) for found in (GOOD, ("wrong",), ("unrunnable",), ("not offered",))]
    nothing = stock - sum(given)
    return [*map(str, row), *map(str, given[:3]), str(nothing), str(given[3])]


def _summary(cells: list[Record]) -> str:
    head = ("Source", "Target", "Cells", "edgekit verified", "weak", "refused", "**wrong**", "stock verified",
            "stock wrong", "stock does not run", "stock exports nothing", "not offered")  # fmt: skip
    rows = [
        (start, target, *_counts(found))
        for (start, target), found in sorted(_by(cells, lambda record: (record["start"], record["target"])).items())
    ]
    return table(head, [*rows, ("**all**", "", *_counts(cells))]) + "\n"


def _any_backend(cells: list[Record]) -> str:
    """What a user of Keras gets who does not care about the backend."""
    keras = [record for record in cells if record["start"].startswith("keras@")]
    rows = []
    for target in TARGETS:
        models = _by((record for record in keras if record["target"] == target), lambda record: record["model"])
        row = [str(len(models))]
        for way in ("edgekit", "stock"):
            row.append(str(sum(_count(found, way, *GOOD) > 0 for found in models.values())))
        rows.append((target, *row))
    head = ("Keras, whichever backend works", "Models", "edgekit", "stock")
    return f"\n{table(head, rows)}\n" if keras else ""


def _time(cells: list[Record]) -> str:
    """Seconds of one command for all targets beside those of one stock call per target, each a process."""
    rows = []
    for start, found in sorted(_by(cells, lambda record: record["start"]).items()):
        ours, stock = [], []
        for records in _by(found, lambda record: record["model"]).values():
            commands = [record["command_s"] for record in records if record.get("command_s")]
            calls = [record["seconds"] for record in records if record["way"] == "stock" and "seconds" in record]
            ours += [sum(commands)] if commands else []
            stock += [sum(calls)] if calls else []
        cell = [record["seconds"] for record in found if record["way"] == "edgekit" and record.get("seconds")]
        rows.append((start, *(f"{median(column):.1f}" if column else "–" for column in (ours, stock, cell))))
    head = ("Source", "edgekit, all targets, s", "stock, one process per target, s", "edgekit, one target, s")
    return f"Medians over models.\n\n{table(head, rows)}\n"


def _matrix(cells: list[Record], framework: str) -> str:
    mine = [record for record in cells if framework_of(record["start"]) == framework]
    if not mine:
        return ""
    columns = sorted({(record["start"], record["target"]) for record in mine})
    known = {(record["model"], record["start"], record["target"], record["way"]): record for record in mine}
    rows = []
    for name in dict.fromkeys(record["model"] for record in mine):
        pairs = [[known.get((name, *column, way)) for way in ("edgekit", "stock")] for column in columns]
        rows.append((name, *(f"{short(ours)} / {short(stock)}" for ours, stock in pairs)))
    head = ("Model", *(f"{start.partition('@')[2] or start} → {target}" for start, target in columns))
    return f"\n### {framework}\n\n{table(head, rows)}\n"


def short(record: Record | None) -> str:
    """A cell in a word."""
    if record is None:
        return " "
    words = {"verified": "ok", "unrunnable": "no run", "not exported": "–", "not offered": "·", "wrong": "**wrong**"}
    word = str(record.get("code") or words.get(record["status"], record["status"]))
    return f"{word} ₁" if record.get("fixed") and record["status"] in GOOD else word


def _refusals(cells: list[Record]) -> str:
    rows = [
        (record["model"], f"{record['start']} → {record['target']}", _plain(record.get("reason", "")))
        for record in cells
        if record["way"] == "edgekit" and record["status"] not in GOOD
    ]
    return table(("Model", "Cell", "Reason"), sorted(rows)) + "\n" if rows else "Nothing.\n"


def _absent(absent: Sequence[tuple[str, str, str]]) -> str:
    models: dict[tuple[str, str], list[str]] = {}
    for name, start, why in absent:
        models.setdefault((start, why), []).append(name)
    rows = [(start, why, ", ".join(names)) for (start, why), names in sorted(models.items())]
    return table(("Source", "Why", "Models"), rows) + "\n" if rows else "Nothing.\n"


def _stock(cells: list[Record]) -> str:
    """Reasons of stock converters, each once with how often it occurs."""
    failed = [record for record in cells if record["way"] == "stock" and record["status"] not in (*GOOD, "not offered")]
    found = _by(failed, lambda r: (r["start"], r["target"], r["status"], _plain(r.get("reason", ""), 110)))
    rows = [(f"{start} → {target}", status, str(len(which)), reason) for (start, target, status, reason), which in
            sorted(found.items())]  # fmt: skip
    return table(("Cell", "Outcome", "Models", "First words"), rows) + "\n"


def _plain(text: str, most: int = 400) -> str:
    """Words that fit into a table and say nothing of this machine."""
    words = " ".join(_PATH.sub("…", text).split()).replace("|", "/")
    return words if len(words) <= most else f"{words[:most]} …"
