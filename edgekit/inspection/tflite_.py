"""Reads TFLite flatbuffers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.inspection.facts import Graph, Quantization, precision_of
from edgekit.inspection.flatbuffer import int4_tensors, schema_version


def read(path: Path) -> Graph:
    """Describe a ``.tflite`` file."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without XNNPACK, which would stand in the list as one DELEGATE in place of the operators it takes.
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
    data = path.read_bytes()
    key, inputs, outputs = _ends(interpreter)
    operators = interpreter._get_ops_details()
    tensors = {int(tensor["index"]): tensor for tensor in interpreter.get_tensor_details()}
    weights = _weights(tensors, operators, inputs)
    both = {**inputs, **outputs}
    return Graph(
        parameters=sum(int(np.prod(tensor["shape"])) for tensor in weights),
        operators=dict(Counter(node["op_name"] for node in operators).most_common()),
        precision=_precision(weights, tensors, operators, int4_tensors(data)),
        format={"schema": str(schema_version(data))},
        flops=sum(_flops(node, tensors) for node in operators),
        quantization={name: found for name, detail in both.items() if (found := _quantization(detail)) is not None},
        signature_key=key,
        notes=() if key is not None else ("The file declares no signature: names are those of its tensors.",),
    )


def _flops(node: Mapping[str, Any], tensors: Mapping[int, Any]) -> int:
    """See `edgekit.inspection.facts.Graph`; free lengths are 1 in a TFLite file that nobody has resized."""
    kind, inputs = node["op_name"], [int(index) for index in node["inputs"]]
    if kind not in ("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV"):
        return 0
    shapes = [[int(length) for length in tensors[index]["shape"]] for index in inputs if index in tensors]
    result = [int(length) for length in tensors[int(node["outputs"][0])]["shape"]]
    if kind in ("CONV_2D", "FULLY_CONNECTED"):  # kernels are (output channels, ..., input channels)
        return 2 * prod(result) * prod(shapes[1][1:])
    if kind == "CONV_3D":  # (depth, height, width, input channels, output channels)
        return 2 * prod(result) * prod(shapes[1][:-1])
    if kind == "DEPTHWISE_CONV_2D":  # (1, height, width, channels)
        return 2 * prod(result) * prod(shapes[1][1:3])
    if (
        kind == "TRANSPOSE_CONV"
    ):  # the shape of the result, the kernel (output channels, ..., input channels), the input
        return 2 * prod(shapes[2]) * prod(shapes[1][:-1])
    return 2 * prod(result) * prod(shapes[0]) // max(1, prod(result[:-1]))  # rows of the left side times its columns


def _ends(interpreter: Any) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    """The signature's key, and inputs and outputs by name in the file's order."""
    signatures = interpreter.get_signature_list()
    if not signatures:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        return None, {item["name"]: item for item in inputs}, {item["name"]: item for item in outputs}
    key = "serving_default" if "serving_default" in signatures else next(iter(signatures))
    runner = interpreter.get_signature_runner(key)
    return key, dict(runner.get_input_details()), dict(runner.get_output_details())


def _quantization(detail: Mapping[str, Any]) -> Quantization | None:
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    is_integer = np.issubdtype(dtype, np.integer)
    return Quantization(dtype.name, float(scale), int(zero_point)) if is_integer and scale else None


def _weights(tensors: Mapping[int, Any], operators: list[Any], inputs: Mapping[str, Any]) -> list[Any]:
    """Constants: what operators read and nothing writes. Unscaled integers are shapes and axes."""
    written = {int(index) for node in operators for index in node["outputs"]}
    written |= {int(detail["index"]) for detail in inputs.values()}
    constants = {int(index) for node in operators for index in node["inputs"]} - written
    return [tensors[index] for index in sorted(constants) if index in tensors and _is_weight(tensors[index])]


def _is_weight(tensor: Mapping[str, Any]) -> bool:
    return np.issubdtype(np.dtype(tensor["dtype"]), np.floating) or len(tensor["quantization_parameters"]["scales"]) > 0


def _precision(
    weights: list[Any], tensors: Mapping[int, Any], operators: list[Any], int4: frozenset[int]
) -> str | None:
    """Integer weights among float activations are unpacked by DEQUANTIZE, or computed with on the fly ("dynamic")."""
    dtypes = {"int4" if tensor["index"] in int4 else np.dtype(tensor["dtype"]).name for tensor in weights}
    constants = {int(tensor["index"]) for tensor in weights}
    unpacked = any(int(node["inputs"][0]) in constants for node in operators if node["op_name"] == "DEQUANTIZE")
    computed = {int(index) for node in operators for index in node["outputs"]} & set(tensors)
    static = any(np.dtype(tensors[index]["dtype"]) in (np.int8, np.uint8, np.int16) for index in computed)
    found = precision_of(dtypes, quantized_activations=static)
    return "int8-dynamic" if found == "int8-weights" and not unpacked else found
