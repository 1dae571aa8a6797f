"""How far artifacts with faults differ from the clean one, on bare engines: the job of one process.

    python benchmarks/faults_compare.py TARGET LARGE CLEAN ENTRY...

Nothing of edgekit takes part. The process prints one line for each entry: whether any output moved by more than the
clean artifact's own moves when its inputs move by one unit in the last place, and by how much.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coverage_engines import Opened, open_artifact

#: Samples in one inference, where the batch is free.
BATCH = 8

#: Samples that the noise floor is measured on, each in so many directions.
PROBED, DIRECTIONS = 100, 3

Arrays = list[np.ndarray]


def main() -> int:
    """Compare every entry."""
    target, large, clean, *entries = sys.argv[1:]
    opened = open_artifact(target, Path(clean))
    free = opened.inputs[0].shape[0] is None
    stored = dict(np.load(large))
    inputs = [stored[one.name] for one in opened.inputs]
    wanted = run(opened, inputs)
    floors = noise(opened, inputs, wanted)
    for entry in entries:
        print(json.dumps({"entry": entry, "starts": True}), flush=True)
        try:
            other = open_artifact(target, Path(entry))
            found = run(other, inputs)
        except Exception as error:  # noqa: BLE001 -- whatever the engine raises is what a user would see
            answer: dict[str, Any] = {"changes": True, "raises": str(error).strip().splitlines()[-1:]}
        else:
            answer = compared(wanted, found, floors)
            if free and other.inputs[0].shape[0] is not None:
                answer |= {"changes": True, "narrower": True}
        print(json.dumps({"entry": entry, **answer}), flush=True)
    return 0


def run(opened: Opened, inputs: Sequence[np.ndarray]) -> Arrays:
    """All samples through an artifact."""
    first = opened.inputs[0].shape[0]
    step = BATCH if first is None else first
    count = len(inputs[0]) - len(inputs[0]) % step
    given = [array.astype(one.dtype) for array, one in zip(inputs, opened.inputs, strict=True)]
    pieces = [opened.run([array[start : start + step] for array in given]) for start in range(0, count, step)]
    return [np.concatenate([piece[index] for piece in pieces]) for index in range(len(pieces[0]))]


def noise(opened: Opened, inputs: Sequence[np.ndarray], wanted: Arrays) -> list[float]:
    """By output: the largest change when every input moves by one unit in the last place; one rounding at least."""
    rng = np.random.default_rng(0)
    few = [array[:PROBED] for array in inputs]
    floors = [float(np.spacing(np.float32(np.sqrt(np.mean(np.square(array.astype(np.float64))))))) for array in wanted]
    for _ in range(DIRECTIONS):
        moved = [
            np.nextafter(array, np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype))
            if array.dtype.kind == "f"
            else array
            for array in few
        ]
        for index, array in enumerate(run(opened, moved)):
            gap = np.abs(array.astype(np.float64) - wanted[index][: len(array)])
            floors[index] = max(floors[index], float(gap.max()))
    return floors


def compared(wanted: Arrays, found: Arrays, floors: Sequence[float]) -> dict[str, Any]:
    """Figures of the output that moved most."""
    if [array.shape[1:] for array in wanted] != [array.shape[1:] for array in found]:
        return {"changes": True, "raises": ["shapes of the outputs"]}
    worst: dict[str, Any] = {"changes": False, "share": 0.0, "sqnr_db": None, "floors": 0.0, "samples": 0.0}
    for left, right, floor in zip(wanted, found, floors, strict=True):
        count = min(len(left), len(right))
        want, have = left[:count].astype(np.float64), right[:count].astype(np.float64)
        rows = range(len(want))
        moved = np.array([not np.array_equal(np.isfinite(want[row]), np.isfinite(have[row])) for row in rows])
        gap = np.where(np.isfinite(want) & np.isfinite(have), np.abs(want - have), 0.0)
        size = gap.reshape(len(gap), -1).max(axis=1)
        moved |= size > floor
        deviation = float(np.sqrt(np.mean(np.square(want - want.mean(axis=0)))))
        power = float(np.mean(np.square(gap)))
        share = float(size.max()) / max(deviation, 1e-30)
        if moved.any() and (share >= worst["share"] or not worst["changes"]):
            worst = {
                "changes": True,
                "share": share,
                "sqnr_db": None if power == 0 else round(10 * float(np.log10(max(deviation**2, 1e-60) / power)), 1),
                "floors": float(size.max()) / max(floor, 1e-30),
                "samples": float(moved.mean()),
            }
    return worst


if __name__ == "__main__":
    sys.exit(main())
