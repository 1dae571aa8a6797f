"""Python code that runs a model with its framework or engine alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgekit.exporter.source import Source
from edgekit.inspection.facts import Graph, Quantization
from edgekit.types import Signature, TensorSpec

#: Length of a free dimension in the example inputs: the batch, and any other.
_FREE_BATCH = 1
_FREE_LENGTH = 32


def snippet(kind: str, source: Source, signature: Signature, graph: Graph) -> str:
    """A whole script: a function ``predict`` on arrays by name, and a call of it on random numbers.

    Args:
        kind: of the source.
        source: as the user named it.
        signature: as the runtime adapter shows it.
        graph: for the TFLite signature and the quantization of inputs and outputs.
    """
    body = _BODIES[kind](source, signature, graph)
    example = "\n".join(f"    {spec.name!r}: {_random(spec)}," for spec in signature.inputs)
    return f"""{body}

random = np.random.default_rng(0)
example = {{  # put your data here
{example}
}}
for name, array in predict(example).items():
    print(name, array.dtype, array.shape, array.ravel()[:5])
"""


def _onnx(source: Source, signature: Signature, _: Graph) -> str:
    return f"""import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({source.name!r}, providers=["CPUExecutionProvider"])
outputs = {_names(signature.outputs)}


def predict(arrays):
{_doc(signature)}
    return dict(zip(outputs, session.run(outputs, arrays)))
"""


def _openvino(source: Source, signature: Signature, _: Graph) -> str:
    return f"""import numpy as np
import openvino

# f32 is what edgekit verifies. Without it some CPUs compute in bf16: faster, less exact.
settings = {{"INFERENCE_PRECISION_HINT": "f32"}}
model = openvino.Core().compile_model({source.name!r}, "CPU", settings)
inputs = {_names(signature.inputs)}
outputs = {_names(signature.outputs)}


def predict(arrays):
{_doc(signature)}
    results = model([arrays[name] for name in inputs])
    return {{name: results[index] for index, name in enumerate(outputs)}}
"""


def _tflite(source: Source, signature: Signature, graph: Graph) -> str:
    prelude, before, after = _conversions(signature, graph.quantization)
    if graph.signature_key is not None:
        engine = f"run = interpreter.get_signature_runner({graph.signature_key!r})"
        call = "    results = run(**arrays)\n"
    else:
        engine = _TENSORS
        call = _CALL_TENSORS
    return f"""import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter({source.name!r})
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


def _keras(source: Source, signature: Signature, _: Graph) -> str:
    options = source.options
    load = f"keras.saving.load_model({source.name!r}, compile=False, safe_mode={not options.trust_code})"
    custom = "".join(
        f"import {Path(file).stem}  # defines layers: run this where it can be imported\n"
        for file in options.custom_objects
    )
    return f"""import os

# Or another that is installed; Keras reads it when it is imported.
os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
{custom}{_imported(source)}
model = {_made(source) or load}{f".{options.submodel}" if options.submodel else ""}
inputs = {_names(signature.inputs)}
outputs = {_names(signature.outputs)}
functional = bool(getattr(model, "inputs", None))
structure = None if not functional else model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def predict(arrays):
{_doc(signature)}
    values = [arrays[name] for name in inputs]
    if functional:
        values = keras.tree.pack_sequence_as(structure, values)
    else:  # a subclassed model takes one array, or all by name
        values = values[0] if len(values) == 1 else arrays
    results = keras.tree.flatten(model(values, training=False))
    return dict(zip(outputs, map(keras.ops.convert_to_numpy, results)))
"""


def _torch(source: Source, signature: Signature, _: Graph) -> str:
    made = f"{_made(source)}.eval()" if source.loading.factory else f"torch.export.load({source.name!r}).module()"
    return f"""import numpy as np
import torch
{_imported(source)}
model = {made}
inputs = {_names(signature.inputs)}
outputs = {_names(signature.outputs)}


def predict(arrays):
{_doc(signature)}
    with torch.no_grad():
        results = model(*(torch.from_numpy(arrays[name]) for name in inputs))
    leaves = torch.utils._pytree.tree_leaves(results)
    return dict(zip(outputs, (leaf.numpy() for leaf in leaves)))
"""


def _jax(source: Source, signature: Signature, _: Graph) -> str:
    made = f'jax.export.deserialize(open({source.name!r}, "rb").read()).call'
    return f"""import jax
import jax.export
import numpy as np
{_imported(source)}
function = jax.jit({_made(source) or made})
inputs = {_names(signature.inputs)}
outputs = {_names(signature.outputs)}


def predict(arrays):
{_doc(signature)}
    results = jax.tree.leaves(function(*(arrays[name] for name in inputs)))
    return dict(zip(outputs, map(np.asarray, results)))
"""


def _saved_model(source: Source, signature: Signature, _: Graph) -> str:
    return f"""import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load({source.name!r})
(function,) = loaded.signatures.values()
outputs = {_names(signature.outputs)}


def predict(arrays):
{_doc(signature)}
    results = function(**{{name: tf.constant(array) for name, array in arrays.items()}})
    return {{name: results[name].numpy() for name in outputs}}
"""


def _imported(source: Source) -> str:
    """The line that imports a factory."""
    if source.loading.factory is None:
        return ""
    place, _, factory = source.loading.factory.name.partition(":")
    return f"from {place.removesuffix('.py')} import {factory}  # run this where it can be imported\n"


def _made(source: Source) -> str:
    """The call of a factory; empty where a file holds the model."""
    return f"{source.loading.factory.name.partition(':')[2]}()" if source.loading.factory else ""


_BODIES: Mapping[str, Callable[[Source, Signature, Graph], str]] = {
    "keras": _keras,
    "torch.nn": _torch,
    "torch.export": _torch,
    "jax": _jax,
    "jax.export": _jax,
    "saved_model": _saved_model,
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
