"""Artifacts of one operator, by engine: of every type of numbers, of much memory, and of text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = (
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
)

#: Weights of `heavy`, float32: 32 MB.
HEAVY = 8 << 20

RESIDENT = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    return int(RESIDENT.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def same(engine: str, dtype: str, folder: Path) -> Path:
    """``y = x``, ``(1, 4)`` of a numpy dtype."""
    return _MAKERS[engine](folder, dtype, None)


def heavy(engine: str, folder: Path) -> Path:
    """``y = x + weights``, ``(1, HEAVY)`` float32."""
    return _MAKERS[engine](folder, "float32", np.ones((1, HEAVY), np.float32))


def text_and_list(folder: Path) -> Path:
    """An ONNX file: ``twice`` is ``text`` written twice, ``rows`` a list of its rows, ``(1, 2)`` each."""
    import onnx
    from onnx import TensorProto, helper

    rows = helper.make_tensor_sequence_value_info("rows", TensorProto.STRING, None)
    given = helper.make_tensor_value_info("text", TensorProto.STRING, ["batch", 2])
    nodes = [
        helper.make_node("StringConcat", ["text", "text"], ["twice"]),
        helper.make_node("SplitToSequence", ["text"], ["rows"], axis=0, keepdims=1),
    ]
    twice = helper.make_tensor_value_info("twice", TensorProto.STRING, ["batch", 2])
    return _saved(folder / "text.onnx", onnx, nodes, [given], [twice, rows], 20)


def _onnx(folder: Path, dtype: str, weights: np.ndarray | None) -> Path:
    import onnx
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shape = (1, 4) if weights is None else weights.shape
    if weights is None:
        node, constants = helper.make_node("Identity", ["x"], ["y"]), []
    else:
        node, constants = helper.make_node("Add", ["x", "w"], ["y"]), [onnx.numpy_helper.from_array(weights, "w")]
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name in "xy")
    return _saved(folder / "one.onnx", onnx, [node], [x], [y], 17, constants)


def _saved(
    path: Path,
    onnx: Any,
    nodes: list[Any],
    given: list[Any],
    made: list[Any],
    opset: int,
    constants: Sequence[Any] = (),
) -> Path:
    graph = onnx.helper.make_graph(list(nodes), "one", list(given), list(made), list(constants))
    opsets = [onnx.helper.make_opsetid("", opset)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path


def _openvino(folder: Path, dtype: str, weights: np.ndarray | None) -> Path:
    import openvino
    from openvino import opset13 as ops

    x = ops.parameter([1, 4] if weights is None else list(weights.shape), np.dtype(dtype), name="x")
    y = ops.reshape(x, ops.constant([1, 4]), False) if weights is None else ops.add(x, ops.constant(weights))
    for node, name in ((x, "x"), (y, "y")):
        node.output(0).get_tensor().set_names({name})
    openvino.save_model(openvino.Model([y], [x], "one"), folder / "one.xml", compress_to_fp16=False)
    return folder / "one.xml"


def _tflite(folder: Path, dtype: str, weights: np.ndarray | None) -> Path:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from edgekit.runtimes.smoke import MODELS

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(MODELS["tflite"][1]))
    graph = model.subgraphs[0]
    (operator,), (code,) = graph.operators, model.operatorCodes
    if weights is None:
        kind, operator.builtinOptions = schema.BuiltinOperator.RESHAPE, schema.ReshapeOptionsT()
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions.newShape = [1, 4]
    else:
        kind, operator.builtinOptions = schema.BuiltinOperator.ADD, schema.AddOptionsT()
        operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = np.frombuffer(weights.tobytes(), np.uint8)
        constant = schema.TensorT()
        constant.name, constant.type, constant.buffer = b"w", schema.TensorType.FLOAT32, len(model.buffers) - 1
        graph.tensors.append(constant)
        operator.inputs = [int(operator.inputs[0]), len(graph.tensors) - 1]
    code.builtinCode = code.deprecatedBuiltinCode = kind
    for tensor in graph.tensors:
        tensor.type = getattr(schema.TensorType, dtype.upper())
        tensor.shape = [1, 4] if weights is None else list(weights.shape)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / "one.tflite").write_bytes(bytes(builder.Output()))
    return folder / "one.tflite"


_MAKERS = {"onnxruntime": _onnx, "openvino": _openvino, "tflite": _tflite}
