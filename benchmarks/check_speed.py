"""What ``edgekit check`` costs beside the engine alone, on 32 stored samples.

    python benchmarks/check_speed.py [--rounds 5] [--only MODEL] [--output docs/parity.md]

Alone: one process that has imported numpy and the engine loads the artifact and runs the 32 samples one by one in
float32; what is timed begins with the load. The check: the whole command, from the start of its process to its end. It
starts a worker, loads the artifact, runs the samples at batch 1 and some of them at batch 3, compares and stores the
result. The source does not run: its outputs are stored. Both take turns. With --output, the section of that document
is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import conditions, run, table

SAMPLES = 32

#: A check may take this many times as long as the engine alone, and these seconds more.
TARGET_RATIO, TARGET_MORE_S = 1.5, 1.0

TARGETS = ("onnx", "openvino", "tflite")

HEADING = "## Cost of a check"

LIBRARIES = ("onnxruntime", "openvino", "ai-edge-litert")

HEAD = ("Model", "Target", "engine alone s", "check s", "at most s", "over the engine s", "holds")

Feed = Mapping[str, Any]


def digits(path: Path) -> None:
    """Two convolutions on 8x8 images."""
    import keras
    from keras import layers

    image = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(32, 3, activation="relu")(x))
    keras.Model(image, layers.Dense(10)(x)).save(path)


def mobilenet(path: Path) -> None:
    """MobileNetV3Small at 224x224, with weights as drawn."""
    import keras

    keras.applications.MobileNetV3Small(weights=None, input_shape=(224, 224, 3)).save(path)


def resnet(path: Path) -> None:
    """ResNet-50 at 224x224, with weights as drawn."""
    import keras

    keras.applications.ResNet50(weights=None, input_shape=(224, 224, 3)).save(path)


MODELS: dict[str, Callable[[Path], None]] = {"digits": digits, "mobilenet-v3-small": mobilenet, "resnet-50": resnet}


def main() -> int:
    """Print the section. Returns 0: a figure that misses its aim is said, not raised."""
    parser = argparse.ArgumentParser(description="A check beside the engine alone.")
    parser.add_argument("--rounds", type=int, default=5, help="checks of each artifact (default: 5)")
    parser.add_argument("--only", choices=MODELS, help="one model (default: all)")
    parser.add_argument("--output", type=Path, help="a document whose section is replaced")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, file = options.child
        os.environ["KERAS_BACKEND"] = "jax"
        if what in MODELS:
            MODELS[what](Path(file))
        else:
            print(json.dumps(alone(what, Path(file))))
        return 0
    text = section(options.rounds, options.only)
    print(text)
    if options.output is not None:
        _replace(options.output, text)
    return 0


def section(rounds: int, only: str | None) -> str:
    """Measure, and write the section of the document."""
    rows, held = [], []
    with tempfile.TemporaryDirectory(prefix="edgekit-check-speed-") as temporary:
        for name in MODELS:
            if only in (None, name):
                kit = _kit(name, Path(temporary))
                for target in TARGETS:
                    row, holds = _measured(name, kit, target, rounds)
                    rows.append(row)
                    held.append(holds)
                    print("  ".join(row), file=sys.stderr)
    where = conditions(LIBRARIES, f"python benchmarks/check_speed.py --rounds {rounds}")
    words = (
        f"{sum(held)} of {len(held)} checks take at most {TARGET_RATIO:g} times as long as the engine alone and "
        f"{TARGET_MORE_S:g} second more. Medians of {rounds} rounds."
    )
    about = (__doc__ or "").split("\n\n")[2].replace(" With --output, the section of that document\nis replaced.", "")
    return f"{HEADING}\n\n{about.strip()}\n\n{where}\n\n{table(HEAD, rows)}\n\n{words}\n"


def _kit(name: str, folder: Path) -> Path:
    source, kit = folder / f"{name}.keras", folder / f"{name}-kit"
    run([sys.executable, Path(__file__), "--child", name, source])
    targets = [part for target in TARGETS for part in ("--target", target)]
    run([_edgekit(), "export", source, *targets, "-o", kit, "--quiet"])
    return kit


def _measured(name: str, kit: Path, target: str, rounds: int) -> tuple[list[str], bool]:
    """The row of one artifact, and whether the aim is kept: each round's check beside that round's engine."""
    manifest = json.loads((kit / "kit.json").read_text())
    (artifact,) = (one for one in manifest["artifacts"] if one["target"] == target)
    child: list[str | Path] = [sys.executable, Path(__file__), "--child", kit / artifact["path"], kit / "golden.npz"]
    check: list[str | Path] = [_edgekit(), "check", kit, "--target", target, "--quiet"]
    pairs = []
    for _ in range(rounds + 1):
        bare = json.loads(run(child).stdout)["seconds"]
        pairs.append((bare, run(check).seconds))
    pairs = pairs[1:]  # the first round reads the files from disk
    limits = [TARGET_RATIO * bare + TARGET_MORE_S for bare, _ in pairs]
    over = median(ours - bare for bare, ours in pairs)
    holds = median(ours / limit for (_, ours), limit in zip(pairs, limits, strict=True)) <= 1
    figures = (median(bare for bare, _ in pairs), median(ours for _, ours in pairs), median(limits), over)
    return [name, target, *(f"{figure:.2f}" for figure in figures), "yes" if holds else "no"], holds


def alone(entry: str, golden: Path) -> dict[str, float]:
    """Seconds that the engine alone takes to load an artifact and to run the stored inputs one by one."""
    import numpy as np

    with np.load(golden) as stored:
        arrays = {key.removeprefix("inputs/"): stored[key] for key in stored.files if key.startswith("inputs/")}
    samples = [{name: array[index : index + 1] for name, array in arrays.items()} for index in range(SAMPLES)]
    start = {".onnx": _onnxruntime, ".xml": _openvino, ".tflite": _tflite}[Path(entry).suffix]()
    started = time.perf_counter()
    infer = start(entry)
    for sample in samples:
        infer(sample)
    return {"seconds": time.perf_counter() - started}


def _onnxruntime() -> Callable[[str], Callable[[Feed], object]]:
    import onnxruntime

    def start(entry: str) -> Callable[[Feed], object]:
        session = onnxruntime.InferenceSession(entry, providers=["CPUExecutionProvider"])
        return lambda feed: session.run(None, feed)

    return start


def _openvino() -> Callable[[str], Callable[[Feed], object]]:
    import openvino

    def start(entry: str) -> Callable[[Feed], object]:
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(entry, "CPU", settings)
        return lambda feed: compiled(feed)

    return start


def _tflite() -> Callable[[str], Callable[[Feed], object]]:
    from ai_edge_litert.interpreter import Interpreter

    def start(entry: str) -> Callable[[Feed], object]:
        runner = Interpreter(entry).get_signature_runner()
        return lambda feed: runner(**feed)

    return start


def _edgekit() -> Path:
    return Path(sys.executable).with_name("edgekit")


def _replace(document: Path, text: str) -> None:
    """Put the section where the old one is, or at the end; what the old one says of memory stays."""
    before, found, rest = document.read_text().partition(HEADING)
    ends = [place for mark in ("\n**Memory.**", "\n## ") if (place := rest.find(mark)) >= 0]
    after = rest[min(ends) + 1 :] if found and ends else ""
    document.write_text(f"{before.rstrip()}\n\n{text}" + (f"\n{after}" if after else ""))


if __name__ == "__main__":
    sys.exit(main())
