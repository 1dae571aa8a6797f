"""What edgekit's adapters cost on top of the engine: the same inference through both, in turns, in one process.

    python benchmarks/adapter_overhead.py [--output docs/accelerators.md]

The model is one ReLU on ``(1, 4)``, so that nearly all of the time is the way into the engine and back. By engine there
are the plain calls that its documentation shows; `Session.run`, which checks names, types and shapes; and what
`Session.prepare` returns, which is what ``edgekit bench`` times. They take turns in blocks of calls; an overhead is the
median, over the turns, of the difference to the plain calls of the same turn.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]

#: Calls per block, blocks of each way, and blocks before that are not counted.
CALLS, TURNS, WARM_UP = 200, 100, 10

#: Microseconds that `Session.run` may cost.
LIMIT_US = 5.0

HEAD = ("Engine", "The engine's own calls", "`Session.run`", "beyond", "`Session.prepare`", "beyond", "At most")

#: Where the table stands in a document.
BEGIN, END = "<!-- adapter overhead -->", "<!-- /adapter overhead -->"

Call = Callable[[], object]


def plain_onnxruntime(path: Path, x: np.ndarray) -> Call:
    """As in onnxruntime.ai/docs/api/python: ``session.run``."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def plain_openvino(path: Path, x: np.ndarray) -> Call:
    """As in docs.openvino.ai, "Optimizing inference in Python": one request, its own tensors filled and read."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def call() -> object:
        request.get_input_tensor(0).data[:] = x
        request.infer()
        return request.get_output_tensor(0).data.copy()

    return call


def plain_tflite(path: Path, x: np.ndarray) -> Call:
    """As in ai.google.dev/edge/litert, "Run inference": set, invoke, get."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call() -> object:
        interpreter.set_tensor(given, x)
        interpreter.invoke()
        return interpreter.get_tensor(made)

    return call


#: By runtime: format of its artifacts, and its plain calls.
ENGINES: dict[str, tuple[str, Callable[[Path, np.ndarray], Call]]] = {
    "onnxruntime": ("onnx", plain_onnxruntime),
    "openvino": ("openvino", plain_openvino),
    "tflite": ("tflite", plain_tflite),
}


def ways(name: str, folder: Path) -> dict[str, Call]:
    """The three ways into one engine, each with a session of its own, so that none disturbs another's."""
    from edgekit.runtimes import RUNTIMES, OpenOptions
    from edgekit.runtimes.smoke import MODELS

    kind, plain = ENGINES[name]
    file, content = MODELS[kind]
    path = folder / file
    path.write_bytes(content)
    x = np.array([[-1.0, 2.0, -3.0, 4.0]], np.float32)
    runtime: Any = RUNTIMES[name].load()()
    options = OpenOptions(threads=1)
    inputs = {"x": x}
    runs, prepares = runtime.open(path, options), runtime.open(path, options)
    return {"plain": plain(path, x), "run": lambda: runs.run(inputs), "prepare": prepares.prepare(inputs)}


def measured(calls: dict[str, Call], turns: int = TURNS, count: int = CALLS) -> dict[str, list[float]]:
    """Microseconds per call by way, one figure per turn; who begins changes from turn to turn."""
    found: dict[str, list[float]] = {way: [] for way in calls}
    names = list(calls)
    with _no_garbage_collection():
        for turn in range(WARM_UP + turns):
            for place in range(len(names)):
                way = names[(place + turn) % len(names)]
                call = calls[way]
                start = time.perf_counter_ns()
                for _ in range(count):
                    call()
                if turn >= WARM_UP:
                    found[way].append((time.perf_counter_ns() - start) / count / 1e3)
    return found


def row(name: str, found: dict[str, list[float]]) -> tuple[str, ...]:
    """A line of the table."""

    def beyond(way: str) -> str:
        return f"{median(mine - bare for mine, bare in zip(found[way], found['plain'], strict=True)):+.1f} µs"

    def taken(way: str) -> str:
        return f"{median(found[way]):.1f} µs"

    return name, taken("plain"), taken("run"), beyond("run"), taken("prepare"), beyond("prepare"), f"{LIMIT_US:.0f} µs"


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What an adapter costs on top of its engine, per inference.")
    parser.add_argument("--output", type=Path, help="a document: the table goes between its marks")
    options = parser.parse_args(arguments)
    from benchmarks.measuring import conditions, table, write_between

    command = "python benchmarks/adapter_overhead.py"
    with TemporaryDirectory() as folder:
        rows = [row(name, measured(ways(name, Path(folder)))) for name in ENGINES]
    text = f"{table(HEAD, rows)}\n\n{conditions(('onnxruntime', 'openvino', 'ai-edge-litert'), command)}\n"
    print(text, end="")
    if options.output is not None:
        write_between(options.output, BEGIN, END, text)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
