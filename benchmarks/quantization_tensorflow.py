"""TFLiteConverter's int8: the job of one process, under an interpreter that has TensorFlow.

    PYTHON benchmarks/quantization_tensorflow.py model.keras DATA.npz FOLDER

Prints ``{"cell": "int8/TFLiteConverter", "path": ..., "seconds": ...}``, or a reason. The batch is fixed to one:
without that the converter has no kernel for most loops.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CELL = "int8/TFLiteConverter"


def main() -> int:
    """Convert one model."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    model, data, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    printed = os.dup(1)
    os.dup2(2, 1)  # TensorFlow prints
    try:
        told = convert(model, np.load(data)["x"], folder / "model.tflite")
    except Exception as error:  # noqa: BLE001 -- what a library raises is its result
        words = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = {"reason": f"{type(error).__name__}: {words[0][:250] if words else ''}"}
    os.write(printed, json.dumps({"cell": CELL, **told}).encode() + b"\n")
    return 0


def convert(model: Path, samples: np.ndarray, out: Path) -> dict[str, Any]:
    """Quantize to int8 with float inputs and outputs, as the documentation of post-training quantization does."""
    import keras
    import tensorflow as tf

    loaded = keras.saving.load_model(model)
    spec = tf.TensorSpec((1, *samples.shape[1:]), tf.float32, name="x")
    loaded.export(out.parent / "saved", input_signature=[spec], verbose=False)
    started = time.perf_counter()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(out.parent / "saved"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    content = converter.convert()
    out.write_bytes(content)
    return {"path": str(out), "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    sys.exit(main())
