"""Run one file on its engine and hold it against the model it was made from: the job of one process.

    python benchmarks/quantization_judge.py TARGET FILE MODEL_FOLDER STEPS

Prints ``{"sqnr_db": ..., "accuracy": ..., "table": [...], "macs": [low, total], "size_bytes": ...}``. Every sample is
run alone, so that an engine that takes one range for a batch has no advantage. ``table`` counts samples that both the
model and the file get right, only the model, only the file, and neither.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coverage_engines import open_artifact
from benchmarks.quantization_count import count

#: Noise that no float32 engine is under.
MOST_DB = 140.0


def main() -> int:
    """Print the figures of one file."""
    target, path, folder, steps = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    with np.load(folder / "test.npz") as stored:
        inputs, labels = stored["x"], stored["label"]
    wanted = np.load(folder / "logits.npy")
    run = _tflite(path) if target == "tflite" else _open(target, path)
    got = np.concatenate([run(sample[None]).reshape(1, -1) for sample in inputs])
    answer = figures(wanted, got, labels) | {"size_bytes": size_bytes(path)}
    try:
        answer["macs"] = list(count(target, path, steps))
    except Exception as error:  # noqa: BLE001 -- it runs all the same
        answer["macs_fault"] = f"{type(error).__name__}: {error}"[:200]
    print(json.dumps(answer))
    return 0


def figures(wanted: np.ndarray, got: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """SQNR and paired accuracy of logits ``(samples, classes)``.

    The signal is the deviation of the model's own output from its mean over samples.
    """
    if not np.isfinite(got).all():
        return {"sqnr_db": None, "accuracy": 0.0, "table": [0, len(labels), 0, 0], "fault": "NaN or infinity"}
    noise = float(np.square(wanted - got, dtype=np.float64).sum())
    signal = float(np.square(wanted - wanted.mean(axis=0), dtype=np.float64).sum())
    ratio = 10 * np.log10(signal / noise) if noise else MOST_DB
    before, after = wanted.argmax(axis=1) == labels, got.argmax(axis=1) == labels
    table = [before & after, before & ~after, ~before & after, ~before & ~after]
    return {
        "sqnr_db": round(min(float(ratio), MOST_DB), 2),
        "accuracy": float(after.mean()),
        "table": [int(part.sum()) for part in table],
    }


def size_bytes(path: Path) -> int:
    """Of a file, with the weights beside it."""
    weights = path.with_suffix(".bin")
    return path.stat().st_size + (weights.stat().st_size if path.suffix == ".xml" else 0)


def _open(target: str, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    opened = open_artifact(target, path)
    return lambda sample: opened.run([sample])[0].astype(np.float32)


def _tflite(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """LiteRT's CPU kernels, with integers for floats at both ends where the file wants that."""
    from ai_edge_litert.interpreter import Interpreter

    engine = Interpreter(model_path=str(path), num_threads=1)
    (source,), (sink,) = engine.get_input_details(), engine.get_output_details()
    engine.allocate_tensors()

    def run(sample: np.ndarray) -> np.ndarray:
        if source["dtype"] != np.float32:
            scale, zero = source["quantization"]
            limits = np.iinfo(source["dtype"])
            sample = np.clip(np.round(sample / scale) + zero, limits.min, limits.max)
        engine.set_tensor(source["index"], sample.astype(source["dtype"]))
        engine.invoke()
        got: np.ndarray = engine.get_tensor(sink["index"]).astype(np.float32)
        if sink["dtype"] != np.float32:
            scale, zero = sink["quantization"]
            got = (got - zero) * np.float32(scale)
        return got

    return run


if __name__ == "__main__":
    sys.exit(main())
