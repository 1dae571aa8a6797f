"""Multiply-accumulates of an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quantization_macs import NONE, Macs, einsum, product, times, total

#: What makes no new number.
_MOVES = ("Relu",
          "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "MaxPool", "Split", "Slice", "Gather", "Concat",
          "Expand", "Pad", "Tile", "Identity", "DepthToSpace", "SpaceToDepth")  # fmt: skip

#: Operators that compute in integers, with the places of their two operands.
_INTEGER = {"QLinearConv": (0, 3), "QLinearMatMul": (0, 3), "QGemm": (0, 3), "ConvInteger": (0, 1),
            "MatMulInteger": (0, 1), "MatMulIntegerToFloat": (0, 1), "DynamicQuantizeMatMul": (0, 1),
            "DynamicQuantizeLSTM": (0, 1)}  # fmt: skip

Shapes = dict[str, tuple[int, ...]]


class _Graph:
    """Names of one graph: who makes them, what is stored, how large they are."""

    def __init__(self, graph: Any, shapes: Shapes, outer: _Graph | None = None) -> None:
        self.nodes = graph.node
        self.makers: dict[str, Any] = {
            **(outer.makers if outer else {}),
            **{name: node for node in graph.node for name in node.output},
        }
        stored = {weight.name: tuple(weight.dims) for weight in graph.initializer}
        self.stored: set[str] = {*(outer.stored if outer else ()), *stored}
        self.shapes: Shapes = {**(outer.shapes if outer else {}), **shapes, **stored}

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor; that of a stored weight behind its dequantizer; empty where nothing tells."""
        maker = self.makers.get(name)
        if name in self.shapes or maker is None:
            return self.shapes.get(name, ())
        return self.shape(maker.input[0]) if maker.op_type in ("DequantizeLinear", "Cast") else ()


def count(path: Path, steps: int) -> Macs:
    import onnx

    model = onnx.load(path)
    return _in_graph(_Graph(model.graph, _shapes(model)), steps)


def _in_graph(graph: _Graph, steps: int) -> Macs:
    return total(_of(node, graph, steps) for node in graph.nodes)


def _of(node: Any, graph: _Graph, steps: int) -> Macs:
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    if inner:
        parts = total(_in_graph(_Graph(one, {}, graph), steps) for one in inner)
        return times(parts, steps if node.op_type in ("Loop", "Scan") else 1)
    places = _INTEGER.get(node.op_type, (0, 1))
    macs = _macs(node, graph, places)
    if not macs or all(_constant(node.input[place], graph) for place in places):
        return NONE
    integer = node.op_type in _INTEGER or (
        node.op_type != "MatMulNBits" and all(_quantized(node.input[place], graph) for place in places)
    )
    return Macs(macs if integer else 0, macs)


def _macs(node: Any, graph: _Graph, places: tuple[int, int]) -> int:
    kind = node.op_type
    if len(node.input) < 2:
        return 0
    left, right = (graph.shape(node.input[place]) for place in places)
    out = graph.shape(node.output[0])
    settings = {attribute.name: attribute for attribute in node.attribute}
    if kind in ("Conv", "ConvInteger", "QLinearConv"):
        return product(out) * product(right[1:])
    if kind == "ConvTranspose":
        return product(left) * product(right[1:])
    if kind == "Gemm":
        rows = left[::-1] if "transA" in settings and settings["transA"].i else left
        return product(out) * (rows[-1] if rows else right[0])
    if "MatMulNBits" in kind:
        return product(out[:-1]) * int(settings["K"].i) * int(settings["N"].i)
    if "MatMul" in kind or kind == "QGemm":
        return product(out) * left[-1] if out and left else product(right)  # in a loop's body, one row
    if kind in ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"):
        return (left[0] if left else 1) * (product(right) + product(graph.shape(node.input[2])))
    if kind == "Einsum":
        return einsum(settings["equation"].s.decode(), [graph.shape(name) for name in node.input])
    return 0


def _quantized(name: str, graph: _Graph) -> bool:
    node = graph.makers.get(name)
    if node is None:
        return False
    if node.op_type == "DequantizeLinear":
        return True
    if node.op_type == "Concat":
        return all(_quantized(one, graph) for one in node.input)
    return node.op_type in _MOVES and _quantized(node.input[0], graph)


def _constant(name: str, graph: _Graph) -> bool:
    """Whether a value is that of a constant, moved or quantized."""
    while name in graph.makers and graph.makers[name].op_type in (*_MOVES, "QuantizeLinear", "DequantizeLinear"):
        name = graph.makers[name].input[0]
    maker = graph.makers.get(name)
    return name in graph.stored or (maker is not None and maker.op_type in ("Constant", "ConstantOfShape"))


def _shapes(model: Any) -> Shapes:
    """Of every tensor outside loops: what onnxruntime sees when it runs one sample without optimizing."""
    import onnx
    import onnxruntime

    known = {port.name for port in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name and name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {
        port.name: np.zeros([size if isinstance(size, int) and size > 0 else 1 for size in port.shape], _dtype(port))
        for port in session.get_inputs()
    }
    outputs = [port.name for port in session.get_outputs()]
    found = {name: np.shape(array) for name, array in zip(outputs, session.run(outputs, feeds), strict=True)}
    return found | {name: array.shape for name, array in feeds.items()}


def _dtype(port: Any) -> str:
    name: str = port.type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)
