"""The conversion inside ``edgekit export`` against the same converter called by hand, both warm.

    python benchmarks/export_speed.py [--rounds 3] [--only MODEL] [--output build/coverage/speed.md]

By hand: one process that has imported everything and converted once loads the model, calls the converter and writes
the file. edgekit: the hops of the same route, in workers that have converted once; then the whole attempt, which also
runs the artifact in a fresh process at two batch sizes and compares it, and whose ratio is what counts. Both write
float32 with a free batch where the target has one. Memory is the peak of each command with everything below it, and of
edgekit's largest worker: its command also runs the source as the reference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.coverage_cells import named, prepare
from benchmarks.export_by_hand import BY_HAND
from benchmarks.measuring import Ran, conditions, run, table
from benchmarks.zoo.registry import ZooModel, model

#: Largest accepted ratios of seconds and of memory.
TARGET_SECONDS, TARGET_MEMORY = 1.25, 1.3

LIBRARIES = ("keras", "torch", "jax", "jax2onnx", "openvino", "litert-converter")

HEAD = ("Model", "Route", "by hand s", "edgekit, conversion s", "Ratio", "with run and comparison s", "Ratio",
        "by hand MiB", "edgekit MiB", "Ratio", "largest worker MiB", "Ratio")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A model and the route that is timed."""

    model: str
    target: str
    route: str

    @property
    def zoo(self) -> ZooModel:
        return model(self.model)

    @property
    def start(self) -> str:
        return self.route.partition(">")[0]


CASES = (
    Case("keras-mobilenet-v2", "onnx", "keras@jax>onnx"),
    Case("keras-resnet", "openvino", "keras@jax>onnx>openvino"),
    Case("keras-efficientnet", "tflite", "keras@jax>stablehlo>tflite"),
    Case("keras-densenet", "openvino", "keras@openvino>openvino"),
    Case("keras-inception", "onnx", "keras@torch>onnx"),
    Case("torch-resnet", "onnx", "torch.export>onnx"),
    Case("torch-unet", "openvino", "torch.export>onnx>openvino"),
    Case("torch-detector", "tflite", "torch.export>tflite"),
    Case("jax-resnet", "onnx", "jax>onnx"),
    Case("flax-cnn", "tflite", "jax>stablehlo>tflite"),
)


def main() -> int:
    """Print the table. Returns 0: a ratio that misses its aim is said, not raised."""
    parser = argparse.ArgumentParser(description="edgekit's conversions against the converters called by hand.")
    parser.add_argument("--rounds", type=int, default=3, help="conversions of each after the first (default: 3)")
    parser.add_argument("--only", help="one model (default: all)")
    parser.add_argument("--output", type=Path, help="write the section here too, for coverage.py")
    parser.add_argument("--child", nargs=3, metavar=("WAY", "CASE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        way, number, folder = options.child
        timed = {"edgekit": _by_edgekit, "hand": _by_hand}[way]
        print(json.dumps(timed(CASES[int(number)], Path(folder), options.rounds)))
        return 0
    text = section(options.rounds, options.only)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text)
    return 0


def section(rounds: int, only: str | None = None) -> str:
    """Measure every case, or one, and write the section of the document."""
    rows, seconds, memory = [], [], []
    with tempfile.TemporaryDirectory(prefix="edgekit-speed-") as temporary:
        for number, case in enumerate(CASES):
            if only not in (None, case.model):
                continue
            source = Path(temporary, case.model)
            if fault := prepare(case.zoo, source):
                raise SystemExit(f"{case.model}: {fault}")
            hand, ours = (_child(way, number, source, rounds) for way in ("hand", "edgekit"))
            row, ratios = _row(case, hand, ours)
            rows.append(row)
            seconds.append(ratios[0])
            memory.append(ratios[1])
            print("  ".join(row), file=sys.stderr)
    missed = [
        f"{name} {median(found):.2f}, of at most {aim}{'' if median(found) <= aim else ', which is missed'}"
        for name, found, aim in (("seconds", seconds, TARGET_SECONDS), ("memory", memory, TARGET_MEMORY))
    ]
    words = f"Median ratio of {missed[0]}, run and comparison included; of {missed[1]}."
    where = conditions(LIBRARIES, f"python benchmarks/export_speed.py --rounds {rounds}")
    return f"\n## Speed\n\n{__doc__.split(chr(10) * 2)[2]}\n\n{where}\n\n{table(HEAD, rows)}\n\n{words}\n"


def _child(way: str, number: int, source: Path, rounds: int) -> Ran:
    script: list[str | Path] = [sys.executable, Path(__file__)]
    return run([*script, "--rounds", str(rounds), "--child", way, str(number), source])


def _row(case: Case, hand: Ran, ours: Ran) -> tuple[list[str], tuple[float, float]]:
    by_hand, found = (json.loads(ran.stdout.splitlines()[-1]) for ran in (hand, ours))
    ratios = found["attempt_s"] / by_hand["convert_s"], ours.peak_rss_bytes / hand.peak_rss_bytes
    row = [case.model, f"`{case.route}`", f"{by_hand['convert_s']:.2f}", f"{found['convert_s']:.2f}"]
    row += [f"{found['convert_s'] / by_hand['convert_s']:.2f}", f"{found['attempt_s']:.2f}", f"{ratios[0]:.2f}"]
    row += [f"{hand.peak_rss_bytes >> 20}"]
    row += [f"{ours.peak_rss_bytes >> 20}", f"{ratios[1]:.2f}", f"{found['worker_bytes'] >> 20}"]
    return [*row, f"{found['worker_bytes'] / hand.peak_rss_bytes:.2f}"], ratios


def _by_hand(case: Case, source: Path, rounds: int) -> dict[str, float]:
    prepared = BY_HAND[case.route](case.zoo, source)
    with tempfile.TemporaryDirectory() as folder:
        return {"convert_s": _median_s(lambda: prepared(Path(folder)), rounds)}


def _by_edgekit(case: Case, source: Path, rounds: int) -> dict[str, float]:
    from edgekit.exporter.attempts import Converter, try_routes
    from edgekit.exporter.graph import routes
    from edgekit.exporter.reference import load_source, reference_of
    from edgekit.progress import SILENT
    from edgekit.workbench import workbench

    with workbench(SILENT) as bench:
        kind, _, backend = case.start.partition("@")
        loaded = load_source(bench, named(case.zoo, case.start, source), backend=backend or "auto")
        golden = reference_of(bench, loaded, None)
        (route,) = routes(kind, case.target, route=case.route)

        def convert() -> None:
            Converter(bench.executor, loaded, None).convert(route, golden, lambda progress: None)

        def attempt() -> None:
            converter = Converter(bench.executor, loaded, None)
            accepted, tried = try_routes(case.target, (route,), golden, converter, lambda progress: None)
            if not accepted:
                raise SystemExit(f"{case.model} by {case.route}: {tried[0].reason}")

        attempt()
        found = {"convert_s": _median_s(convert, rounds)}
        found["attempt_s"] = _median_s(attempt, rounds)
        return {**found, "worker_bytes": _largest_child_bytes()}


def _largest_child_bytes() -> int:
    """Peak resident memory of the largest child that is still there."""
    tasks = Path("/proc/self/task").iterdir()
    children = " ".join((task / "children").read_text() for task in tasks).split()
    lines = [line for pid in children for line in Path("/proc", pid, "status").read_text().splitlines()]
    return max((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), default=0)


def _median_s(convert: Callable[[], Any], rounds: int) -> float:
    convert()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        convert()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


if __name__ == "__main__":
    sys.exit(main())
