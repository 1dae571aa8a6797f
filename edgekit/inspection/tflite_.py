"""Reads TFLite flatbuffers."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.inspection.facts import Facts, Quantization, precision_of
from edgekit.types import Signature, TensorSpec


def read(path: Path) -> Facts:
    """Describe a ``.tflite`` file."""
    import ai_edge_litert
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without XNNPACK, which would stand in the list as one DELEGATE in place of the operators it takes.
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
    key, inputs, outputs = _ends(interpreter)
    operators = interpreter._get_ops_details()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    weights = _weights(tensors, operators, inputs)
    activations = [tensors[index] for node in operators for index in node["outputs"] if index in tensors]
    static = any(np.dtype(tensor["dtype"]) in (np.int8, np.uint8, np.int16) for tensor in activations)
    both = {**inputs, **outputs}
    return Facts(
        signature=Signature(tuple(_spec(*item) for item in inputs.items()), tuple(_spec(*item) for item in outputs.items())),
        parameters=sum(int(np.prod(tensor["shape"])) for tensor in weights),
        operators=dict(Counter(node["op_name"] for node in operators).most_common()),
        precision=_precision({np.dtype(tensor["dtype"]).name for tensor in weights}, operators, static=static),
        format={"schema": str(_schema_version(path.read_bytes()))},
        engine=f"ai-edge-litert {ai_edge_litert.__version__}",
        quantization={name: found for name, detail in both.items() if (found := _quantization(detail)) is not None},
        signature_key=key,
        notes=() if key is not None else ("The file declares no signature: names are those of its tensors.",),
    )


def _ends(interpreter: Any) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    """The signature's key, and inputs and outputs by name in the file's order."""
    signatures = interpreter.get_signature_list()
    if not signatures:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        return None, {item["name"]: item for item in inputs}, {item["name"]: item for item in outputs}
    key = "serving_default" if "serving_default" in signatures else next(iter(signatures))
    runner = interpreter.get_signature_runner(key)
    return key, dict(runner.get_input_details()), dict(runner.get_output_details())


def _spec(name: str, detail: Mapping[str, Any]) -> TensorSpec:
    declared = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    shape = tuple(None if length < 0 else int(length) for length in declared)
    return TensorSpec(name, shape, np.dtype(detail["dtype"]).name)


def _quantization(detail: Mapping[str, Any]) -> Quantization | None:
    scale, zero_point = detail["quantization"]
    is_integer = np.issubdtype(np.dtype(detail["dtype"]), np.integer)
    return Quantization(float(scale), int(zero_point)) if is_integer and scale else None


def _weights(tensors: Mapping[int, Any], operators: list[Any], inputs: Mapping[str, Any]) -> list[Any]:
    """Constants: what operators read and nothing writes. Unscaled integers are shapes and axes."""
    written = {int(index) for node in operators for index in node["outputs"]}
    written |= {int(detail["index"]) for detail in inputs.values()}
    read_ = {int(index) for node in operators for index in node["inputs"]} - written
    constants = [tensors[index] for index in sorted(read_) if index in tensors]
    return [
        tensor
        for tensor in constants
        if np.issubdtype(np.dtype(tensor["dtype"]), np.floating) or len(tensor["quantization_parameters"]["scales"])
    ]


def _precision(weights: set[str], operators: list[Any], *, static: bool) -> str | None:
    """Integer weights between float activations are unpacked once, or computed with on the fly ("dynamic")."""
    unpacked = any(node["op_name"] == "DEQUANTIZE" for node in operators)
    found = precision_of(weights, quantized_activations=static and not unpacked or static and "int32" in weights)
    return "int8-dynamic" if found == "int8-weights" and not unpacked else found


def _schema_version(data: bytes) -> int:
    """The first field of the root table (TFLite's schema.fbs; FlatBuffers internals: tables start with their vtable)."""
    (root,) = struct.unpack_from("<I", data, 0)
    (back,) = struct.unpack_from("<i", data, root)
    (field,) = struct.unpack_from("<H", data, root - back + 4)
    return int(struct.unpack_from("<I", data, root + field)[0]) if field else 0
