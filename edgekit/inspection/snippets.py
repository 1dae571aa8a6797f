"""Python code that runs a model file with its engine alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgekit.inspection.facts import Graph, Quantization
from edgekit.types import Signature, TensorSpec

#: Length of a free dimension in the example inputs: the batch, and any other.
_FREE_BATCH = 1
_FREE_LENGTH = 32


def snippet(kind: str, path: str, signature: Signature, graph: Graph) -> str:
    """A whole script: a function ``predict`` on arrays by name, and a call of it on random numbers.

    Args:
        kind: of the file.
        path: of the file, as the script will name it.
        signature: as the runtime adapter shows it.
        graph: for the TFLite signature, the Keras backend, and the quantization of inputs and outputs.
    """
    body = _BODIES[kind](path, signature, graph)
    example = "\n".join(f"    {spec.name!r}: {_random(spec)}," for spec in signature.inputs)
    return f"""{body}

random = np.random.default_rng(0)
example = {{  # put your data here
{example}
}}
for name, array in predict(example).items():
    print(name, array.dtype, array.shape, array.ravel()[:5])
"""


def _onnx(path: str, signature: Signature, _: Graph) -> str:
    return f"""import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({path!r}, providers=["CPUExecutionProvider"])
outputs = {_names(signature.outputs)}


def predict(arrays):
{_doc(signature)}
    return dict(zip(outputs, session.run(outputs, arrays)))
"""


def _openvino(path: str, signature: Signature, _: Graph) -> str:
    return f"""import numpy as np
import openvino

# f32 is what edgekit verifies. Without it some CPUs compute in bf16: faster, less exact.
settings = {{"INFERENCE_PRECISION_HINT": "f32"}}
model = openvino.Core().compile_model({path!r}, "CPU", settings)
inputs = {_names(signature.inputs)}
outputs = {_names(signature.outputs)}


def predict(arrays):
{_doc(signature)}
    results = model([arrays[name] for name in inputs])
    return {{name: results[index] for index, name in enumerate(outputs)}}
"""


def _tflite(path: str, signature: Signature, graph: Graph) -> str:
    prelude, before, after = _conversions(signature, graph.quantization)
    if graph.signature_key is not None:
        engine = f"run = interpreter.get_signature_runner({graph.signature_key!r})"
        call = "    results = run(**arrays)\n"
    else:
        engine = _TENSORS
        call = _CALL_TENSORS
    return f"""import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter({path!r})
outputs = {_names(signature.outputs)}
{engine}
{prelude}

def predict(arrays):
{_doc(signature)}
{before}{call}{after}    return {{name: results[name] for name in outputs}}
"""


_TENSORS = """details = interpreter.get_input_details() + interpreter.get_output_details()
index = {item["name"]: item["index"] for item in details}
interpreter.allocate_tensors()"""

_CALL_TENSORS = """    for name, array in arrays.items():
        interpreter.resize_tensor_input(index[name], array.shape)
    interpreter.allocate_tensors()
    for name, array in arrays.items():
        interpreter.set_tensor(index[name], array)
    interpreter.invoke()
    results = {name: interpreter.get_tensor(index[name]) for name in outputs}
"""

_QUANTIZE = """

def quantize(array, dtype, scale, zero_point):
    limits = np.iinfo(dtype)
    steps = np.round(array / np.float32(scale)) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)
"""

_DEQUANTIZE = """

def dequantize(array, scale, zero_point):
    return (array.astype(np.float32) - zero_point) * np.float32(scale)
"""


def _conversions(signature: Signature, quantization: Mapping[str, Quantization]) -> tuple[str, str, str]:
    """Code for quantized inputs and outputs: definitions, lines before the call, lines after it."""
    inputs = {spec.name: quantization[spec.name] for spec in signature.inputs if spec.name in quantization}
    outputs = {spec.name: quantization[spec.name] for spec in signature.outputs if spec.name in quantization}
    prelude, before, after = "", "", ""
    if inputs:
        listed = ", ".join(f"{name!r}: ({q.dtype!r}, {q.scale!r}, {q.zero_point})" for name, q in inputs.items())
        prelude += f"quantized_inputs = {{{listed}}}  # dtype, scale, zero point\n"
        before = "    arrays = dict(arrays)\n    for name, how in quantized_inputs.items():\n"
        before += "        arrays[name] = quantize(arrays[name], *how)\n"
    if outputs:
        listed = ", ".join(f"{name!r}: ({q.scale!r}, {q.zero_point})" for name, q in outputs.items())
        prelude += f"quantized_outputs = {{{listed}}}  # scale, zero point\n"
        after = "    for name, how in quantized_outputs.items():\n"
        after += "        results[name] = dequantize(results[name], *how)\n"
    return prelude + (_QUANTIZE if inputs else "") + (_DEQUANTIZE if outputs else ""), before, after


def _keras(path: str, signature: Signature, graph: Graph) -> str:
    return f"""import os

# Or another that is installed; Keras reads it when it is imported.
os.environ.setdefault("KERAS_BACKEND", {graph.backend!r})

import keras
import numpy as np

model = keras.saving.load_model({path!r}, compile=False, safe_mode=True)
inputs = {_names(signature.inputs)}
outputs = {_names(signature.outputs)}
structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def predict(arrays):
{_doc(signature)}
    packed = keras.tree.pack_sequence_as(structure, [arrays[name] for name in inputs])
    results = keras.tree.flatten(model(packed, training=False))
    return dict(zip(outputs, map(keras.ops.convert_to_numpy, results)))
"""


_BODIES: Mapping[str, Callable[[str, Signature, Graph], str]] = {
    "keras": _keras,
    "onnx": _onnx,
    "openvino": _openvino,
    "tflite": _tflite,
}


def _names(specs: Sequence[TensorSpec]) -> str:
    return repr([spec.name for spec in specs])


def _doc(signature: Signature) -> str:
    """What goes in and comes out, as a docstring; a name cannot end it."""
    lines = [f"    in   {spec}" for spec in signature.inputs] + [f"    out  {spec}" for spec in signature.outputs]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"', "'")
    return f'    """Arrays by name (? is free, the first axis is the batch):\n\n{text}\n    """'


def _random(spec: TensorSpec) -> str:
    lengths = [
        length if length is not None else _FREE_LENGTH if axis else _FREE_BATCH
        for axis, length in enumerate(spec.shape)
    ]
    shape = repr(tuple(lengths))
    if spec.dtype.startswith(("float", "bfloat")):
        return f"random.standard_normal({shape}).astype({spec.dtype!r})"
    return f"random.integers(0, 2, {shape}).astype({spec.dtype!r})"
