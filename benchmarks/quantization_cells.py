"""Cells of the quantization benchmark: how one is measured. Everything heavy runs in a process of its own.

A cell is a model, a seed, a target, a precision and a way: ``edgekit``, or the name of a library. Its record is what
`quantization_judge` prints about the file, with the time of the call; or ``reason``, why there is no such file, or why
it does not run.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.coverage_cells import HERE, TARGETS, Done, Record, last_words, process
from benchmarks.quantization_models import ALL, SPOILED
from benchmarks.quantization_tensorflow import CELL as TENSORFLOW_CELL

#: Seconds for training, one export of all targets, one quantization of all precisions of a target.
TIMEOUT_S = 1800.0

#: Of a suffix of an artifact's entry file.
ENTRIES = {"onnx": "model.onnx", "openvino": "model.xml", "tflite": "model.tflite"}

#: Precisions in the order of the table.
PRECISIONS = ("int8", "int8-dynamic", "int8-weights", "int4-weights", "fp16", "bf16")

#: Largest accepted loss of accuracy of the model that only accuracy control can mend.
SPOILED_DROP = 0.01

EDGEKIT = "from edgekit.cli.main import main; main()"


@dataclass(frozen=True, slots=True)
class Model:
    """One trained model on disk.

    Attributes:
        name, seed: which.
        folder: of its files: see `quantization_models`.
    """

    name: str
    seed: int
    folder: Path

    @property
    def kit(self) -> Path:
        return self.folder / "kit"

    @property
    def steps(self) -> int:
        return ALL[self.name].steps

    def key(self, target: str, precision: str, way: str) -> str:
        return f"{self.name}|{self.seed}|{target}|{precision}|{way}"

    def fp32(self, target: str) -> Path | None:
        """Entry file of the exported artifact; None where the export did not make one."""
        return next(self.kit.glob(f"artifacts/{target}-fp32-*/{ENTRIES[target]}"), None)


def prepare(model: Model) -> str | None:
    """Train and export once. Returns why that failed, or None."""
    if (model.kit / "kit.json").is_file():
        return None
    if not (model.folder / "logits.npy").is_file():
        done = process([HERE / "quantization_models.py", model.folder, model.name, str(model.seed)], "jax", TIMEOUT_S)
        if done.status != 0:
            return last_words(done)
    options: list[str | Path] = ["--target", "all", "--data", model.folder / "data.npz", "--labels", "label"]
    command = ["-c", EDGEKIT, "export", model.folder / "model.keras", *options, "-o", model.kit, "--json"]
    done = process(command, "jax", TIMEOUT_S)
    return None if (model.kit / "kit.json").is_file() else _error(done)


def float_cells(model: Model) -> Iterator[Record]:
    """The exported artifacts themselves: what the others are compared with."""
    for target in TARGETS:
        path = model.fp32(target)
        told = {"reason": "no route of the export made it"} if path is None else judged(target, path, model)
        yield _record(model, target, "fp32", "edgekit") | told


def by_edgekit(model: Model, target: str, precisions: tuple[str, ...]) -> Iterator[Record]:
    """One ``edgekit quantize`` of a target with its defaults, each artifact judged once more by other means."""
    if model.fp32(target) is None:
        return
    options = {
        "data": str(model.folder / "data.npz"),
        "eval_data": str(model.folder / "test.npz"),
        "labels": "label",
        "target": target,
        "precision": precisions,
        "max_drop": SPOILED_DROP if model.name in SPOILED else None,
    }
    shutil.rmtree(model.kit / ".trials", ignore_errors=True)  # of a command that was killed
    done = process([HERE / "quantization_edgekit.py", model.kit, json.dumps(options)], "jax", TIMEOUT_S)
    try:
        document = json.loads(done.stdout)
    except ValueError:
        document = {"error": {"message": last_words(done)}}
    if "error" in document:
        for precision in precisions:
            yield _record(model, target, precision, "edgekit") | {"reason": _error(done)}
        return
    for row in document["artifacts"]:
        record = _record(model, target, row["precision"], "edgekit") | _told(row, done.seconds / len(precisions))
        yield record | (judged(target, Path(row["path"]), model) if row["path"] else {"reason": _why(row)})


def _told(row: Record, share_s: float) -> Record:
    """What edgekit says itself about an artifact."""
    found = row.get("quantization") or {}
    trials = found.get("trials") or []
    told: Record = {
        "verdict": row["verdict"],
        "reasons": row["reasons"],
        "command_s": round(share_s, 2),
        "seconds": round(sum(attempt["seconds"] for attempt in row["attempts"]), 2),
        "recipe": found.get("recipe", ""),
        "left_float": found.get("left_float", []),
        "own_macs": found.get("low_bit_macs"),
        "trials": len(trials),
    }
    if trials and trials[0]["seconds"]:
        told["search_ratio"] = round(sum(trial["seconds"] for trial in trials) / trials[0]["seconds"], 2)
    return told


def by_stock(model: Model, target: str, cells: tuple[str, ...], tensorflow: Path | None) -> Iterator[Record]:
    """Each library's default call on the same artifact, and the result run on its engine.

    Args:
        model: whose artifact.
        target: of it.
        cells: ``precision/tool``.
        tensorflow: interpreter of TFLiteConverter's cell.
    """
    path = model.fp32(target)
    out = model.folder / "stock" / target
    plain = tuple(cell for cell in cells if cell != TENSORFLOW_CELL)
    told: dict[str, Record] = {}
    while plain and path is not None:
        command: list[str | Path] = [
            HERE / "quantization_stock.py",
            target,
            path,
            model.folder / "data.npz",
            out,
            *plain,
        ]
        done = process(command, "jax", TIMEOUT_S)
        found = _lines(done.stdout)
        if len(found) < len(plain):
            found[plain[len(found)]] = {"reason": _crash(done)}
        told |= found
        plain = plain[len(found) :]
    if TENSORFLOW_CELL in cells and tensorflow is not None:
        told |= _by_tensorflow(model, out, tensorflow)
    for cell, answer in told.items():
        precision, _, way = cell.partition("/")
        record = _record(model, target, precision, way) | answer
        yield record | (judged(target, Path(answer["path"]), model) if "path" in answer else {})


def _by_tensorflow(model: Model, out: Path, interpreter: Path) -> dict[str, Record]:
    folder = out / TENSORFLOW_CELL.replace("/", "-")
    command = [interpreter, HERE / "quantization_tensorflow.py", model.folder / "model.keras"]
    done = subprocess.run(
        [str(part) for part in (*command, model.folder / "data.npz", folder)], capture_output=True, text=True
    )
    found = _lines(done.stdout)
    return found or {TENSORFLOW_CELL: {"reason": _crash(Done(done.returncode, done.stdout, done.stderr, 0.0))}}


def judged(target: str, path: Path, model: Model) -> Record:
    """What a file computes, in a process that it may crash."""
    command: list[str | Path] = [HERE / "quantization_judge.py", target, path, model.folder, str(model.steps)]
    done = process(command, "", TIMEOUT_S)
    if done.status != 0:
        return {"path": str(path), "fault": f"does not run: {_crash(done)}"}
    answer: Record = json.loads(done.stdout.splitlines()[-1])
    return {"path": str(path), **answer}


def _lines(stdout: str) -> dict[str, Record]:
    """Answers by cell."""
    answers = [json.loads(line) for line in stdout.splitlines() if line.startswith('{"cell"')]
    return {answer.pop("cell"): answer for answer in answers}


def _crash(done: Done) -> str:
    """Why a process that should have answered did not."""
    if done.status is not None and done.status < 0:
        return f"the process crashes ({signal.Signals(-done.status).name})"
    return last_words(done)


def _why(row: Record) -> str:
    return " ".join(row["reasons"]) or next((one["reason"] for one in row["attempts"]), "no reason is given")


def _error(done: Done) -> str:
    try:
        error = json.loads(done.stdout)["error"]
    except (ValueError, KeyError):
        return last_words(done)
    return f"{error['message']} {error.get('received') or ''}".strip()


def _record(model: Model, target: str, precision: str, way: str) -> Record:
    return {
        "key": model.key(target, precision, way),
        "model": model.name,
        "seed": model.seed,
        "target": target,
        "precision": precision,
        "way": way,
    }
