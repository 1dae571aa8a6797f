"""``python -m tests.attribution.plant_quantized TARGET FAULT PLACE FILE``: a fault in one layer of an int8 artifact.

FAULT is ``scale``, the weights of the layer are twice as large, or ``zero``, what comes out of it is ten steps off.
PLACE counts convolutions and products. Each format is changed by its own library, in a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 10


def onnx_(path: Path, fault: str, place: int) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    stored = {weight.name: weight for weight in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    layer = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")][place]

    def change(node: Any, index: int, array: np.ndarray) -> None:
        """Of this operator alone: others may share the constant."""
        model.graph.initializer.append(numpy_helper.from_array(array, f"{node.input[index]}/changed"))
        node.input[index] = model.graph.initializer[-1].name

    if fault == "scale":
        node = maker[layer.input[1]]
        while node.op_type != "DequantizeLinear":
            node = maker[node.input[0]]
        change(node, 1, numpy_helper.to_array(stored[node.input[1]]) * np.float32(2))
    else:
        node = layer
        while node.op_type != "DequantizeLinear":
            node = next(user for user in model.graph.node if node.output[0] in user.input)
        zero = numpy_helper.to_array(stored[node.input[2]])
        change(node, 2, (zero.astype(np.int64) + (-STEPS if zero > 100 else STEPS)).astype(zero.dtype))
    onnx.save(model, path)


def openvino_(path: Path, fault: str, place: int) -> None:
    import openvino
    from openvino import opset13

    model = openvino.Core().read_model(path)
    kinds = ("Convolution", "GroupConvolution", "MatMul")
    node = [op for op in model.get_ordered_ops() if op.get_type_name() in kinds][place]
    if fault == "scale":
        doubled = opset13.multiply(node.input(1).get_source_output(), opset13.constant(np.float32(2)))
        node.input(1).replace_source_output(doubled.output(0))
    else:
        while node.get_type_name() != "FakeQuantize":
            node = next(iter(node.output(0).get_target_inputs())).get_node()
        low, high = (node.input_value(index).get_node().get_data() for index in (3, 4))
        step = (high - low) / (node.get_attributes()["levels"] - 1)
        for index, end in ((3, low), (4, high)):
            node.input(index).replace_source_output(opset13.constant(end + np.float32(STEPS) * step).output(0))
    openvino.save_model(model, path.with_name("changed.xml"), compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        path.with_name(f"changed{suffix}").replace(path.with_suffix(suffix))


def tflite_(path: Path, fault: str, place: int) -> None:
    import flatbuffers
    from ai_edge_litert.schema_py_generated import BuiltinOperator, Model, ModelT

    model = ModelT.InitFromObj(Model.GetRootAs(path.read_bytes(), 0))
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    kinds = (BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D, BuiltinOperator.FULLY_CONNECTED)
    layer = [one for one in graph.operators if codes[one.opcodeIndex] in kinds][place]
    if fault == "scale":
        quantization = graph.tensors[layer.inputs[1]].quantization
        quantization.scale = np.asarray(quantization.scale) * np.float32(2)
    else:
        quantization = graph.tensors[layer.outputs[0]].quantization
        zero = np.asarray(quantization.zeroPoint)
        quantization.zeroPoint = zero + np.where(zero > 100, -STEPS, STEPS)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


if __name__ == "__main__":
    target, kind, number, file = sys.argv[1:]
    {"onnx": onnx_, "openvino": openvino_, "tflite": tflite_}[target](Path(file), kind, int(number))
