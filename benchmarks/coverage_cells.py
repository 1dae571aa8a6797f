"""Cells of the coverage benchmark: what is to be measured, how one is measured, and the file that remembers it.

A cell is a model, where it starts (a node of the conversion graph: ``keras@jax``, ``torch.nn``, ``onnx``, …), a
target, and a way: ``edgekit``, ``stock`` or ``route:NAME``. Everything heavy runs in a process of its own with a time
limit, an empty home and no accelerator.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Any

from benchmarks.zoo.registry import ZooModel

HERE = Path(__file__).resolve().parent
TARGETS = ("onnx", "openvino", "tflite")
BACKENDS = ("jax", "torch", "openvino", "tensorflow")

#: Seconds for one conversion by hand, and for one `edgekit export` of all targets with every route it tries.
STOCK_TIMEOUT_S = 300.0
EXPORT_TIMEOUT_S = 1800.0

#: Files that a start is read from, in the folder of the model; the formats are written by stock converters.
FILES = {
    "torch.export": "model.pt2",
    "jax.export": "model.jax",
    "onnx": "formats/stock.onnx",
    "openvino": "formats/stock.xml",
    "tflite": "formats/stock.tflite",
}

#: Kinds of start whose names of inputs and outputs are those of the model: other files lose them.
NAMED = ("keras", "torch.nn", "torch.export", "jax")

#: Pairs for which the libraries document a call.
OFFERED = {
    **dict.fromkeys(("keras", "torch.nn", "torch.export"), TARGETS),
    "jax": ("onnx", "openvino"),
    "onnx": ("openvino",),
    "tflite": ("openvino",),
}

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A process that ended.

    Attributes:
        status: its exit status; None when it ran past its limit.
    """

    status: int | None
    stdout: str
    stderr: str
    seconds: float


@dataclass
class Store:
    """The file of records, one JSON document a line; of two with one key the later counts."""

    path: Path
    _records: dict[str, Record] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.path.is_file():
            for line in self.path.read_text().splitlines():
                with suppress(ValueError):  # cut off where a run was killed
                    record = json.loads(line)
                    self._records[record["key"]] = record

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def get(self, key: str) -> Record:
        """A record, empty where there is none."""
        return self._records.get(key, {})

    @property
    def records(self) -> list[Record]:
        return list(self._records.values())

    def add(self, record: Record) -> None:
        """Remember a record, on disk too."""
        with self._lock:
            self._records[record["key"]] = record
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as stream:
                stream.write("\n" * (stream.tell() > 0) + json.dumps(record))


def starts(zoo: ZooModel, backends: tuple[str, ...]) -> tuple[str, ...]:
    """Where a model starts in the conversion graph."""
    if zoo.framework == "keras":
        return tuple(f"keras@{backend}" for backend in backends)
    if zoo.framework == "jax":
        return "jax", "jax.export"
    return "torch.nn", "torch.export", "onnx", "openvino", "tflite"


def key_of(zoo: ZooModel, start: str, target: str, way: str) -> str:
    return f"{zoo.name}|{start}|{target}|{way}"


def missing(zoo: ZooModel, start: str) -> str | None:
    """The module that a cell lacks here, if any."""
    framework = start.partition("@")[2] or zoo.framework
    needs = (*zoo.needs, *(("keras",) if zoo.framework == "keras" else ()), framework)
    return next((module for module in needs if util.find_spec(module) is None), None)


def prepare(zoo: ZooModel, folder: Path) -> str | None:
    """Build a model and its reference once. Returns why that failed, or None."""
    if (folder / "reference.npz").is_file():
        return None
    choices = ("torch", "jax", "tensorflow")
    backend = zoo.built_on or next((name for name in choices if util.find_spec(name) is not None), "jax")
    done = process([HERE / "coverage_source.py", zoo.name, folder], backend, STOCK_TIMEOUT_S)
    return None if done.status == 0 else last_words(done)


def by_stock(zoo: ZooModel, start: str, target: str, source: Path) -> Record:
    """One converter alone, then its file on its engine."""
    record = _record(zoo, start, target, "stock")
    kind, _, backend = start.partition("@")
    if target not in OFFERED.get(kind, ()):
        return record | {"status": "not offered", "reason": f"no call is documented from {kind} to {target}"}
    with tempfile.TemporaryDirectory(prefix="edgekit-stock-") as temporary:
        folder = Path(temporary)
        command: list[str | Path] = [HERE / "coverage_stock.py", zoo.name, kind, target, source, folder]
        done = process(command, backend, STOCK_TIMEOUT_S)
        record["seconds"] = round(done.seconds, 2)
        made = next((path for path in folder.glob("stock.*") if path.suffix in (".onnx", ".xml", ".tflite")), None)
        if done.status != 0 or made is None:
            return record | {"status": "not exported", "reason": last_words(done)}
        told: Record = json.loads(done.stdout.splitlines()[-1])
        answer = compared(target, made, source)
        if kind == "torch.nn" and answer["status"] == "verified":
            shutil.copytree(folder, source / "formats", dirs_exist_ok=True)
        return record | told | answer


def by_edgekit(zoo: ZooModel, start: str, targets: tuple[str, ...], source: Path, route: str | None) -> list[Record]:
    """One ``edgekit export`` of the targets, each artifact checked once more by other means on other samples."""
    with tempfile.TemporaryDirectory(prefix="edgekit-coverage-") as temporary:
        done = _export(zoo, start, targets, source, route, Path(temporary, "kit"))
        base = {"command_s": round(done.seconds / len(targets), 2)}  # its share of the command
        way = "edgekit" if route is None else f"route:{route}"
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = {"error": {"code": "no-answer", "message": last_words(done)}}
        if "error" in document and len(targets) > 1:  # it may be about one of them
            return [record for target in targets for record in by_edgekit(zoo, start, (target,), source, route)]
        if "error" in document:
            found = document["error"]
            told = {"status": "refused", "code": found["code"], "reason": found["message"], "attempts": []}
            return [_record(zoo, start, target, way) | base | told for target in targets]
        return [
            _record(zoo, start, row["target"], way) | base | _answer(row, start, source)
            for row in document["artifacts"]
        ]


def _export(zoo: ZooModel, start: str, targets: tuple[str, ...], source: Path, route: str | None, kit: Path) -> Done:
    backend = start.partition("@")[2]
    command: list[str | Path] = ["-c", "from edgekit.cli.main import main; main()", "export"]
    command.append(named(zoo, start, source))
    for target in ("all",) if targets == TARGETS else targets:
        command += ["--target", target]
    if backend:
        command += ["--backend", backend]
    if route is not None:
        command += ["--route", route]
    return process([*command, "-o", kit, "--json"], backend, EXPORT_TIMEOUT_S)


def named(zoo: ZooModel, start: str, source: Path) -> str | Path:
    """What a user names: a file, or the factory where no file holds the model."""
    if start in FILES:
        return source / FILES[start]
    return source / "model.keras" if zoo.framework == "keras" and not zoo.own_code else zoo.reference


def _answer(row: Record, start: str, source: Path) -> Record:
    """What edgekit says about one target, and whether that holds."""
    attempts = row["attempts"]
    answer = {
        "verdict": row["verdict"],
        "route": row["route"],
        "attempts": attempts,
        "seconds": round(sum(attempt["seconds"] for attempt in attempts), 2),
        "reason": " ".join(row["reasons"]),
    }
    if row["path"] is None:
        tried = [attempt["outcome"] for attempt in attempts if attempt["outcome"] != "missing"]
        return answer | {"status": "refused", "code": tried[-1] if tried else "missing"}
    strict = ("--strict",) if start.partition("@")[0] in NAMED else ()
    again = compared(row["target"], Path(row["path"]), source, *strict)
    held = again["status"] in ("verified", "weak")
    status = row["verdict"] if held or row["verdict"] not in ("verified", "weak") else "wrong"
    return answer | {"status": status, "recheck": again, "fixed": again.get("fixed", "")}


def compared(target: str, artifact: Path, source: Path, *options: str) -> Record:
    """An artifact against its source, in a process of its own."""
    command: list[str | Path] = [HERE / "coverage_compare.py", target, artifact, source / "reference.npz", *options]
    done = process(command, "", STOCK_TIMEOUT_S)
    if done.status != 0:
        return {"status": "unrunnable", "reason": last_words(done)}
    answer: Record = json.loads(done.stdout.splitlines()[-1])
    return answer


def process(command: list[str | Path], backend: str, timeout_s: float) -> Done:
    """Run Python on a script or module, in a process group that is ended at the limit."""
    with tempfile.TemporaryDirectory(prefix="edgekit-home-") as home:
        telemetry = Path(home, "intel", "openvino_telemetry")
        telemetry.parent.mkdir()
        telemetry.write_text("0")  # declined
        paths = [str(HERE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        env = {**os.environ, "HOME": home, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "JAX_PLATFORMS": "cpu"}
        env |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend or "jax"}
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=home,
            start_new_session=True,
        )
        try:
            stdout, stderr = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            stdout, stderr = child.communicate()
            return Done(None, stdout, f"{stderr}\nran past {timeout_s:g} s", time.perf_counter() - started)
        return Done(child.returncode, stdout, stderr, time.perf_counter() - started)


def last_words(done: Done) -> str:
    """The error of a process in one line: that of a traceback where there is one, else the end of what it said."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if not lines:
        return f"exit status {done.status}"
    heads = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception", "Error'"))]
    return (heads or lines)[-1][:300]


def _record(zoo: ZooModel, start: str, target: str, way: str) -> Record:
    return {
        "key": key_of(zoo, start, target, way),
        "model": zoo.name,
        "family": zoo.family,
        "start": start,
        "target": target,
        "way": way,
    }
