"""The script that shows a fault: it needs an engine and numpy, and nothing of edgekit."""

from __future__ import annotations

#: What the script compares with, and how; it needs the engine and numpy alone.
_SCRIPT = '''"""Runs {what} and compares it with what the reference computes there: exit status 1 shows the fault.

    {command}
"""

import sys
from pathlib import Path

import numpy as np

here = Path(__file__).resolve().parent
inputs, expected = np.load(here / "inputs.npz"), np.load(here / "expected.npz")

#: The largest difference that is accepted, None where SQNR in decibel decides.
ALLOWED, LEAST_DB = {allowed!r}, {least_db!r}

{run}


wrong = False
for name in expected.files:
    wanted = expected[name].astype(np.float64)
    got = np.stack([run({{key: inputs[key][index] for key in inputs.files}})[name] for index in range(len(wanted))])
    odd = ~np.isfinite(wanted) & ((got == wanted) | (np.isnan(got) & np.isnan(wanted)))
    # what is NaN or infinite in both alike is no difference
    wanted, got = np.where(odd, 0.0, wanted), np.where(odd, 0.0, got.astype(np.float64))
    gap = np.abs(got - wanted)
    largest = float("inf") if np.isnan(gap).any() else float(gap.max())
    moves = wanted - wanted.mean(axis=0)
    signal, noise = np.square(moves if moves.any() else wanted).sum(), np.square(gap).sum()
    sqnr = float("inf") if noise == 0 else 10 * np.log10(max(float(signal / noise), 1e-30))
    accepted = f"at least {{LEAST_DB:g}} dB" if ALLOWED is None else f"{{ALLOWED:.6g}}"
    print(f"{{name}}: the largest difference is {{largest:.6g}} ({{sqnr:.1f}} dB), allowed is {{accepted}}")
    wrong |= not (sqnr >= LEAST_DB if ALLOWED is None else largest <= ALLOWED)
sys.exit(int(wrong))
'''

_ENGINES = {
    "onnx": """import onnxruntime

session = onnxruntime.InferenceSession(here / {file!r}, providers=["CPUExecutionProvider"])


def run(values):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, values)))""",
    "openvino": """import openvino

options = {{"INFERENCE_PRECISION_HINT": "f32"}}
compiled = openvino.Core().compile_model(here / {file!r}, "CPU", options)


def run(values):
    found = compiled(values)
    return {{min(port.get_names(), key=len): array.copy() for port, array in found.items()}}""",
    "tflite": """from ai_edge_litert.interpreter import Interpreter

runner = Interpreter(str(here / {file!r})).get_signature_runner()


def run(values):
    found = {{}}
    for name, array in runner(**{{name: encoded(name, array) for name, array in values.items()}}).items():
        scale, zero = runner.get_output_details()[name]["quantization"]
        found[name] = (array.astype(np.float32) - zero) * np.float32(scale) if scale else array
    return found


def encoded(name, array):
    detail = runner.get_input_details()[name]
    scale, zero = detail["quantization"]
    if not scale:
        return array
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(array / scale) + zero, limits.min, limits.max).astype(detail["dtype"])""",
}


def script_for(target: str, file: str, what: str, command: str, allowed: float | None, least_db: float) -> str:
    """Python that runs a part of an artifact and compares it with what the reference computes.

    Args:
        target: format of the part.
        file: its entry file, beside the script.
        what: layers of the reference, or operators, that it computes.
        command: that runs the script.
        allowed: largest absolute difference; None where SQNR decides.
        least_db: least SQNR.
    """
    run = _ENGINES[target].format(file=file)
    made = f"the part of an artifact that computes {what}"
    return _SCRIPT.format(what=made, command=command, run=run, allowed=allowed, least_db=least_db)
