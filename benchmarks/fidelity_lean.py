"""The leanest timing loop one would write by hand, in a process of its own.

    python benchmarks/fidelity_lean.py onnxruntime|tflite FILE INPUT.npy

Prints the median microseconds of an inference as JSON: ``clocked`` one by one, and ``blocks`` of a hundred between two
looks at the clock, where no loop has a share any more.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: Seconds of warm-up, and of each of the two loops.
SECONDS = 0.5

BLOCK = 100


def onnxruntime(path: str, inputs: np.ndarray) -> Callable[[], Any]:
    """One thread; inputs are read in place, outputs are new arrays."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    run, names, feed = session.run, [one.name for one in session.get_outputs()], {session.get_inputs()[0].name: inputs}
    return lambda: run(names, feed)


def tflite(path: str, inputs: np.ndarray) -> Callable[[], Any]:
    """One thread; inputs and outputs are copied."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def infer() -> Any:
        interpreter.set_tensor(source, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return infer


def measure(infer: Callable[[], Any]) -> dict[str, float]:
    """Medians in microseconds."""
    clock = time.perf_counter_ns
    gc.disable()
    end = clock() + int(SECONDS * 1e9)
    while clock() < end:
        infer()
    clocked, end = [], clock() + int(SECONDS * 1e9)
    while clock() < end:
        start = clock()
        infer()
        clocked.append(clock() - start)
    blocks, end = [], clock() + int(SECONDS * 1e9)
    while clock() < end:
        start = clock()
        for _ in range(BLOCK):
            infer()
        blocks.append((clock() - start) / BLOCK)
    return {"clocked": statistics.median(clocked) / 1e3, "blocks": statistics.median(blocks) / 1e3}


if __name__ == "__main__":
    engine, file, samples = sys.argv[1:]
    loops = {"onnxruntime": onnxruntime, "tflite": tflite}
    print(json.dumps(measure(loops[engine](file, np.load(samples)))))
