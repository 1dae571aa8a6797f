"""``edgekit run`` against the same steps written with the raw libraries.

    python benchmarks/pipeline.py [--pairs 3] [--folder FOLDER]

Both start from the same trained digits model and the same images, and take turns: edgekit, raw, edgekit, raw, …,
each in fresh processes with an empty output folder and an empty home. edgekit goes first in each pair, since it
decides how many openings its timing needs; `raw_pipeline.py` then gets the same openings and timed seconds. The
printed ratio is edgekit's wall time over the raw script's. Exit status 1: the two did not make the same artifacts.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import edgekit
from benchmarks.measuring import Ran, conditions, run, table

ROOT = Path(__file__).resolve().parents[1]

#: Largest accepted ratio of wall times.
TARGET_RATIO = 1.2

#: Most memory of all jobs together, on two cores.
TARGET_BYTES = 8 << 30

LIBRARIES = ("keras", "jax", "jax2onnx", "onnx", "onnxruntime", "openvino", "litert-converter", "ai-edge-litert",
             "nncf", "ai-edge-quantizer")  # fmt: skip

HEAD = ("Pair", "edgekit s", "raw s", "Ratio", "Openings", "Timed s", "edgekit peak GiB", "raw peak GiB",
        "CPUs of others")  # fmt: skip

_ROUTES = {"onnx": "keras@jax>onnx", "openvino": "keras@jax>onnx>openvino", "tflite": "keras@jax>stablehlo>tflite"}

#: Names that OpenVINO makes up and numbers through a process.
_NUMBERED = re.compile(r'(?<=name=")[A-Za-z]+_\d+(?=")')


@dataclass(frozen=True, slots=True)
class Pair:
    """One run of each.

    Attributes:
        openings, timed_s: that edgekit's timing took and the raw script was given, over all artifacts.
    """

    edgekit: Ran
    raw: Ran
    openings: int
    timed_s: float

    @property
    def ratio(self) -> float:
        return self.edgekit.seconds / self.raw.seconds


def main() -> int:
    """Print the tables. Returns 1 when the artifacts differ."""
    parser = argparse.ArgumentParser(description="edgekit run against the raw libraries.")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-pipeline-") as temporary:
        folder = options.folder or Path(temporary)
        data = folder / "data"
        if not (data / "digits.keras").is_file():
            run([sys.executable, ROOT / "examples" / "digits" / "train.py", data])
        names = [f"{target}-{precision}" for target in _ROUTES for precision in ("fp32", "int8")]
        _raw(data, folder / "raw", dict.fromkeys(names, (1, 0.1)))  # every library is in the page cache from here on
        pairs = [_pair(data, folder) for _ in range(options.pairs)]
        differing = _report(pairs, folder, data)
    return 1 if differing else 0


def _pair(data: Path, folder: Path) -> Pair:
    ours = _edgekit(data, folder / "kit")
    result = json.loads(ours.stdout)
    _expect_routes(result)
    budget = {f"{row['target']}-{row['precision']}": _budget(row) for row in result["latency"]}
    theirs = _raw(data, folder / "raw", budget)
    openings = sum(count for count, _ in budget.values())
    pair = Pair(ours, theirs, openings, sum(count * seconds for count, seconds in budget.values()))
    print(f"edgekit {ours.seconds:.1f} s, raw {theirs.seconds:.1f} s, ratio {pair.ratio:.2f}", file=sys.stderr)
    return pair


def _edgekit(data: Path, kit: Path) -> Ran:
    shutil.rmtree(kit, ignore_errors=True)
    script = Path(sys.executable).with_name("edgekit")
    files: list[str | Path] = ["--data", data / "train.npz", "--eval-data", data / "test.npz"]
    options: list[str | Path] = ["--labels", "label", "--threads", "1", "-o", kit, "--fresh", "--json"]
    return run([script, "run", data / "digits.keras", *files, *options])


def _raw(data: Path, out: Path, budget: dict[str, tuple[int, float]]) -> Ran:
    shutil.rmtree(out, ignore_errors=True)
    return run([sys.executable, Path(__file__).with_name("raw_pipeline.py"), data, out, json.dumps(budget)])


def _budget(row: dict[str, Any]) -> tuple[int, float]:
    """Openings of an artifact and timed seconds of each, as they were."""
    return row["openings"], round(row["samples"] * row["latency_ms"]["mean"] / 1e3 / row["openings"], 4)


def _expect_routes(result: dict[str, Any]) -> None:
    """The raw script follows fixed routes: with another route the comparison would mean nothing."""
    for row in result["artifacts"]:
        route = _ROUTES[row["target"]]
        expected = route if row["precision"] == "fp32" else f"{route}>{row['target']}:int8"
        if row["route"] != expected or len(row["attempts"]) != 1:
            raise SystemExit(f"edgekit went {row['route']}, the raw script goes {expected}: bring them into line.")


def _row(number: int, pair: Pair) -> list[str]:
    """One line of the table, in the order of `HEAD`."""
    ours, theirs = pair.edgekit, pair.raw
    return [
        f"{number}",
        f"{ours.seconds:.1f}",
        f"{theirs.seconds:.1f}",
        f"{pair.ratio:.2f}",
        f"{pair.openings}",
        f"{pair.timed_s:.1f}",
        f"{ours.peak_rss_bytes / 2**30:.2f}",
        f"{theirs.peak_rss_bytes / 2**30:.2f}",
        f"{ours.foreign_cpus:.1f} and {theirs.foreign_cpus:.1f}",
    ]


def _report(pairs: list[Pair], folder: Path, data: Path) -> list[str]:
    """Print both tables. Returns the artifacts that differ."""
    ratios = [pair.ratio for pair in pairs]
    print(f"{conditions(LIBRARIES, f'python benchmarks/pipeline.py --pairs {len(pairs)}')}\n")
    print(table(HEAD, (_row(number, pair) for number, pair in enumerate(pairs, 1))))
    peak = max(pair.edgekit.peak_rss_bytes for pair in pairs)
    print(
        f"\nRatio: median **{median(ratios):.2f}**, from {min(ratios):.2f} to {max(ratios):.2f}; at most "
        f"{TARGET_RATIO} is the target{'' if median(ratios) <= TARGET_RATIO else ', which is missed'}. Memory of all "
        f"processes of edgekit together: {peak / 2**30:.2f} GiB, of at most {TARGET_BYTES >> 30}"
        f"{'' if peak <= TARGET_BYTES else ', which is missed'}.\n"
    )
    names = sorted(path.name for path in (folder / "raw").glob("*-*"))
    verdicts = {name: _sameness(name, folder, data) for name in names}
    print(table(("Artifact", "edgekit against raw"), [(name, text) for name, (_, text) in verdicts.items()]))
    return [name for name, (same, _) in verdicts.items() if not same]


def _sameness(name: str, folder: Path, data: Path) -> tuple[bool, str]:
    """Whether the two made the same artifact, and in what sense."""
    ours = next((folder / "kit" / "artifacts").glob(f"{name}-*"))
    theirs = folder / "raw" / name
    names = sorted(path.name for path in ours.iterdir())
    if all((ours / file).read_bytes() == (theirs / file).read_bytes() for file in names):
        return True, "the same bytes"
    entry = next(file for file in names if not file.endswith(".bin"))
    if entry.endswith(".xml") and (ours / "model.bin").read_bytes() == (theirs / "model.bin").read_bytes():
        left, right = (_renumbered((where / entry).read_text()) for where in (ours, theirs))
        if left == right:
            return True, "the same bytes but for the numbers in names that OpenVINO makes up"
    operators = [_operators(where / entry) for where in (ours, theirs)]
    gap = _largest_gap(ours / entry, theirs / entry, data)
    text = f"{'the same' if operators[0] == operators[1] else 'other'} operators, outputs differ by at most {gap:.2g}"
    return operators[0] == operators[1] and gap == 0, text


def _renumbered(xml: str) -> str:
    """The text with made-up names numbered in their order."""
    seen: dict[str, str] = {}
    return _NUMBERED.sub(lambda match: seen.setdefault(match[0], f"name_{len(seen)}"), xml)


def _operators(path: Path) -> Counter[str]:
    return Counter(edgekit.inspect(path).operators)


def _largest_gap(left: Path, right: Path, data: Path) -> float:
    """Largest difference of the outputs over all held-out images."""
    images = {"image": np.load(data / "test.npz")["image"]}
    outputs = []
    for path in (left, right):
        with edgekit.load(path) as model:
            outputs.append(model.predict(images)["probs"])
    return float(np.abs(outputs[0] - outputs[1]).max())


if __name__ == "__main__":
    sys.exit(main())
