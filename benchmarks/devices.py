"""The demo's model on every kind of device: the table of `docs/devices.md`.

    python benchmarks/devices.py [--output docs/devices.md]

Trains the demo's model, makes its kit, and checks every artifact on each of `PLACES` with the images that were held
out. Timed are the CPUs of this machine alone: what an emulated CPU or GPU takes says nothing. Each emulated board is
checked first as from a bare machine, but for its wheels, and the seconds of that stand below the table.

Needs what emulated boards and a GPU in software need, a network, and for the times a machine that does nothing else.
Boards and environments are made in a folder that goes in the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import conditions, foreign_cpu_s, table, write_between
from edgekit.benching import bench
from edgekit.checked import CheckRow
from edgekit.checking import check
from edgekit.devices.cache import cache_folder
from edgekit.devices.preparation.prepare import prepare
from edgekit.report.text import duration, percent

BEGIN, END = "<!-- devices: begin -->", "<!-- devices: end -->"

DEMO = Path(__file__).resolve().parents[1] / "examples" / "digits" / "demo.py"


@dataclass(frozen=True, slots=True)
class Place:
    """A device of the table.

    Attributes:
        device: its spec.
        runtimes: that are asked for there; the three engines on the CPU where empty.
        timed: whether its times are those of a real CPU.
    """

    device: str
    runtimes: tuple[str, ...] = ()
    timed: bool = False


#: One thread, as in the demo: several only wait for each other on so small a model.
PLACES = (
    Place("local?threads=1", timed=True),
    Place("python:variant=tflite-runtime?threads=1", ("tflite",), timed=True),
    Place("local?gpu=software", ("tflite:GPU",)),
    Place("python:variant=onnxruntime-webgpu?gpu=software", ("onnxruntime:WebGPU",)),
)

BOARDS = (Place("qemu://aarch64?cpu=cortex-a72"), Place("qemu://aarch64?cpu=cortex-a76"))

#: The most that a check on a board may take from nothing, its wheels being here.
BARE_S = 90

_LIBRARIES = ("onnxruntime", "openvino", "ai-edge-litert", "numpy")


def main() -> int:
    """Print the table and write the document. Returns 1 when a board took too long."""
    parser = argparse.ArgumentParser(description="The demo's model on every kind of device.")
    parser.add_argument("--output", type=Path, help="document to write the table into")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-devices-") as folder:
        os.environ.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        subprocess.run([sys.executable, DEMO, "--max-seconds", "1"], cwd=folder, check=True, stdout=sys.stderr)
        demo = Path(folder) / "demo"
        builds = list(_prepared())
        bare = [_from_nothing(place, demo) for place in BOARDS]
        timed, busy = _times(demo)
        rows = [row for place in (*PLACES, *BOARDS) for row in _checked(place, demo)]
    text = f"{_table(rows, timed)}\n{reasons(rows)}\n{_footer(builds, bare, busy)}\n"
    print(text)
    if options.output is not None:
        write_between(options.output, BEGIN, END, text)
    return int(max(bare) > BARE_S)


def _prepared() -> Iterator[str]:
    """Make the environments and fetch the wheels of the boards; the engine builds with their versions."""
    for place in PLACES:
        _, variant, name = place.device.partition("variant=")
        if variant:
            (engine,) = prepare(place.device).engines
            yield f"{name.partition('?')[0]} {str(engine.version).partition(' ')[0]}"
    prepare(BOARDS[0].device)  # the other one takes the same wheels


def _from_nothing(place: Place, demo: Path) -> float:
    """Seconds of a check of the kit as it is, with the board and its engines to be built first."""
    shutil.rmtree(cache_folder("boards"))
    started = time.perf_counter()
    check(demo / "edgekit-out" / "digits", device=place.device)
    return time.perf_counter() - started


def _checked(place: Place, demo: Path) -> Sequence[CheckRow]:
    kit, data = demo / "edgekit-out" / "digits", demo / "test.npz"
    return check(kit, data=data, labels="label", device=place.device, runtime=place.runtimes).results


def _times(demo: Path) -> tuple[dict[tuple[str, str], float], float]:
    """p50 in milliseconds by device and artifact, one device after the other, and the CPUs that others kept busy."""
    others, started = foreign_cpu_s(), time.perf_counter()
    found = {}
    for place in PLACES:
        if place.timed:
            timed = bench(demo / "edgekit-out" / "digits", device=place.device, runtime=place.runtimes)
            for row in timed.results:
                if row.latency_ms is not None:
                    found[row.device, row.artifact] = row.latency_ms.p50
    return found, max(0.0, (foreign_cpu_s() - others) / (time.perf_counter() - started))


def _table(rows: Sequence[CheckRow], timed: dict[tuple[str, str], float]) -> str:
    head = ("Device", "Runtime", "Artifact", "Verdict", "SQNR", "Accuracy", "Precision", "Placement", "p50")
    return table(head, [line(row, timed.get((row.device, row.artifact))) for row in rows])


def line(row: CheckRow, p50_ms: float | None) -> list[str]:
    """One artifact on one device, as the table shows it; SQNR is that of its worst output."""
    ratios = [output.sqnr_db for output in row.outputs if output.sqnr_db is not None]
    ran = row.effective
    return [
        f"`{row.device}`",
        row.runtime,
        f"{row.target} {row.precision}",
        row.verdict,
        f"{min(ratios):.1f} dB" if ratios else "–",
        percent(row.accuracy.value) if row.accuracy else "–",
        (ran.precision.value if ran else None) or "–",
        (ran.placement.value if ran else None) or "–",
        "–" if p50_ms is None else duration(p50_ms),
    ]


def reasons(rows: Sequence[CheckRow]) -> str:
    """Why some are not verified, one line each; empty where all are."""
    lines = [
        f"- {row.target} {row.precision} on `{row.device}`: {' '.join(row.reasons)}\n"
        for row in rows
        if row.verdict != "verified"
    ]
    return "".join(["\n", *lines]) if lines else ""


def _footer(builds: Sequence[str], bare: Sequence[float], busy: float) -> str:
    seconds = " and ".join(
        f"{took:.0f} s ({place.device.partition('cpu=')[2]})" for place, took in zip(BOARDS, bare, strict=True)
    )
    return (
        f"{conditions(_LIBRARIES, 'python benchmarks/devices.py')}. Engine builds: {', '.join(builds)}. "
        f"`edgekit check` of the six artifacts from no board at all, with the wheels in the cache: {seconds}; at most "
        f"{BARE_S} s is the target. Other programs kept {busy:.2f} CPUs busy during the timings."
    )


if __name__ == "__main__":
    sys.exit(main())
