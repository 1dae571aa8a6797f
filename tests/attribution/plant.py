"""``python -m tests.attribution.plant TARGET FILE``: scales the weights of the network's last convolution by 1.1.

Each format is changed by its own library, in a process of its own. Biases stay, so that no later layer hides it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FACTOR = np.float32(1.1)


def onnx_(path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    last = [weight for weight in model.graph.initializer if len(weight.dims) == 4][-1]
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    held = {weight.name: weight for weight in model.graph.initializer}
    weight = held.get(convolution.input[1], last)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * FACTOR, weight.name))
    onnx.save(model, path)


def openvino_(path: Path) -> None:
    import openvino
    from openvino import opset13

    model = openvino.Core().read_model(path)
    last = [op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"][-1]
    weights = last.input(1)
    source = weights.get_source_output()
    scaled = opset13.multiply(source, opset13.constant(np.array(FACTOR)))
    weights.replace_source_output(scaled.output(0))
    openvino.save_model(model, path.with_name("changed.xml"), compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        path.with_name(f"changed{suffix}").replace(path.with_suffix(suffix))


def tflite_(path: Path) -> None:
    import flatbuffers
    from ai_edge_litert.schema_py_generated import BuiltinOperator, Model, ModelT

    model = ModelT.InitFromObj(Model.GetRootAs(path.read_bytes(), 0))
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    last = [one for one in graph.operators if codes[one.opcodeIndex] == BuiltinOperator.CONV_2D][-1]
    buffer = model.buffers[graph.tensors[last.inputs[1]].buffer]
    buffer.data = np.frombuffer((np.asarray(buffer.data).view(np.float32) * FACTOR).tobytes(), np.uint8)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


if __name__ == "__main__":
    {"onnx": onnx_, "openvino": openvino_, "tflite": tflite_}[sys.argv[1]](Path(sys.argv[2]))
