"""Multiply-accumulates of a TFLite model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.quantization_macs import NONE, Macs, product, times, total

_SMALL = ("INT8", "UINT8", "INT4", "INT2")


def count(path: Path, steps: int) -> Macs:
    from ai_edge_litert.schema_py_generated import Model, ModelT

    model = ModelT.InitFromObj(Model.GetRootAs(path.read_bytes(), 0))
    return _in_graph(model, 0, steps)


def _in_graph(model: Any, number: int, steps: int) -> Macs:
    graph = model.subgraphs[number]
    return total(_of(model, graph, operator, steps) for operator in graph.operators)


def _of(model: Any, graph: Any, operator: Any, steps: int) -> Macs:
    code = model.operatorCodes[operator.opcodeIndex]
    kind = _name("BuiltinOperator", max(code.builtinCode, code.deprecatedBuiltinCode))
    if kind == "WHILE":
        options = operator.builtinOptions
        return times(_in_graph(model, options.bodySubgraphIndex, steps), steps)
    tensors: list[Any] = [graph.tensors[index] if index >= 0 else None for index in operator.inputs]
    out = graph.tensors[operator.outputs[0]]
    if kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        weights = [tensor for tensor in tensors[1:9] if tensor is not None]
        macs = tensors[0].shape[0 if operator.builtinOptions.timeMajor else 1] * sum(product(w.shape) for w in weights)
        return Macs(macs if all(map(_small, weights)) else 0, macs)
    macs = _macs(kind, operator, tensors, out)
    if not macs:
        return NONE
    data, weight = (tensors[2], tensors[1]) if kind == "TRANSPOSE_CONV" else (tensors[0], tensors[1])
    # A float operand beside stored integers: the kernel quantizes it as it runs.
    buffer = model.buffers[weight.buffer]
    stored = buffer.data is not None or bool(buffer.size)  # within the tables, or behind them
    hybrid = _name("TensorType", data.type) == "FLOAT32" and stored
    return Macs(macs if _small(weight) and (_small(data) or hybrid) else 0, macs)


def _macs(kind: str, operator: Any, tensors: list[Any], out: Any) -> int:
    if kind in ("CONV_2D", "CONV_3D"):
        kernel = tensors[1].shape
        return product(out.shape) * product(kernel[1:] if kind == "CONV_2D" else kernel[:-1])
    if kind == "DEPTHWISE_CONV_2D":
        return product(out.shape) * product(tensors[1].shape[1:3])
    if kind == "TRANSPOSE_CONV":
        return product(tensors[2].shape) * product(tensors[1].shape[:3])
    if kind == "FULLY_CONNECTED":
        return product(out.shape) * int(tensors[1].shape[-1])
    if kind == "BATCH_MATMUL":
        return product(out.shape) * int(tensors[0].shape[-2 if operator.builtinOptions.adjX else -1])
    return 0


def _small(tensor: Any) -> bool:
    scale = tensor.quantization.scale if tensor.quantization is not None else None
    return scale is not None and len(scale) > 0 and _name("TensorType", tensor.type) in _SMALL


def _name(enumeration: str, number: int) -> str:
    from ai_edge_litert import schema_py_generated

    values = vars(getattr(schema_py_generated, enumeration))
    return next(str(name) for name, value in values.items() if value == number)
