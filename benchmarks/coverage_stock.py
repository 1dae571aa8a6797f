"""One model through one converter alone, as its own documentation says: a process of the coverage benchmark.

    python benchmarks/coverage_stock.py NAME KIND TARGET SOURCE FOLDER

The Keras backend is that of the environment. SOURCE holds what `coverage_source` wrote; the result is
``FOLDER/stock.<suffix>``, and the seconds of the conversion alone are printed as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.coverage_source import build, example_inputs
from benchmarks.zoo.registry import ZooModel, model

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite"}


def main() -> int:
    """Convert one model. Whatever the converter raises ends the process."""
    zoo, kind, target = model(sys.argv[1]), sys.argv[2], sys.argv[3]
    source, path = Path(sys.argv[4]), Path(sys.argv[5], f"stock{SUFFIXES[sys.argv[3]]}")
    if kind == "keras":
        convert = _keras(zoo, target, source, path)
    elif kind.startswith("torch"):
        convert = _torch(zoo, kind, target, source, path)
    elif kind == "jax":
        convert = _jax(zoo, target, path)
    else:
        convert = _to_ir(str(source / "formats" / f"stock{SUFFIXES[kind]}"), path)
    started = time.perf_counter()
    convert()
    print(json.dumps({"convert_s": round(time.perf_counter() - started, 2)}))
    return 0


def _keras(zoo: ZooModel, target: str, source: Path, path: Path) -> Callable[[], Any]:
    import keras

    if zoo.own_code:
        importlib.import_module(f"benchmarks.zoo.{zoo.path.stem}")  # registers the user's classes
    loaded = keras.saving.load_model(source / "model.keras")
    formats = {"onnx": "onnx", "openvino": "openvino", "tflite": "litert"}
    return lambda: loaded.export(str(path), format=formats[target], verbose=False)


def _torch(zoo: ZooModel, kind: str, target: str, source: Path, path: Path) -> Callable[[], Any]:
    import torch

    made = build(zoo) if kind == "torch.nn" else torch.export.load(source / "model.pt2")
    arguments = tuple(torch.from_numpy(value) for value in example_inputs(zoo).values())
    if target == "onnx":
        return lambda: torch.onnx.export(made, arguments, path)
    if target == "openvino":
        shapes = [[-1, *value.shape[1:]] for value in arguments]  # else every length becomes free
        return _to_ir(made, path, **({"example_input": arguments, "input": shapes} if kind == "torch.nn" else {}))
    import litert_torch

    module = made if kind == "torch.nn" else made.module()
    return lambda: litert_torch.convert(module, arguments).export(str(path))


def _jax(zoo: ZooModel, target: str, path: Path) -> Callable[[], Any]:
    import jax

    function, inputs = build(zoo), list(example_inputs(zoo).values())
    if target == "onnx":
        import jax2onnx

        shapes = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in inputs]
        return lambda: jax2onnx.to_onnx(function, shapes, return_mode="file", output_path=path)
    return _to_ir(jax.make_jaxpr(function)(*inputs), path)


def _to_ir(made: Any, path: Path, **options: Any) -> Callable[[], Any]:
    import openvino

    # What is asked for is float32, and the default halves the weights.
    return lambda: openvino.save_model(openvino.convert_model(made, **options), path, compress_to_fp16=False)


if __name__ == "__main__":
    sys.exit(main())
