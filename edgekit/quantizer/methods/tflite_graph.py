"""A .tflite file as operators: their kinds, names, arithmetic, and what of it is quantized."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from edgekit.quantizer.registry import LayerInfo, MacCount

#: Operators that only change the representation.
CASTS = ("QUANTIZE", "DEQUANTIZE")

#: Operators that multiply and accumulate; in most networks nearly all of the time goes there.
PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")

#: Operators that move values or choose among them, without computing: in int8 they lose nothing.
MOVES = (
    "DEPTH_TO_SPACE",
    "MAX_POOL_2D",
    "PACK",
    "PAD",
    "RESHAPE",
    "SLICE",
    "SPACE_TO_DEPTH",
    "SPLIT",
    "SQUEEZE",
    "STRIDED_SLICE",
    "TRANSPOSE",
    "UNPACK",
)

_FEW_BITS = ("INT8", "UINT8", "INT4", "INT2")


@dataclass(frozen=True)
class Operator:
    """One operator of a graph.

    Attributes:
        name: of its first output tensor.
        kind: its built-in kind, such as ``CONV_2D``.
        raw: as the schema has it.
        graph: that it is part of.
    """

    name: str
    kind: str
    raw: Any
    graph: Any

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Tensors that it takes; one that is left out is missing."""
        return tuple(self.graph.tensors[index] for index in self.raw.inputs if index >= 0)

    @property
    def scope(self) -> str:
        """Names of all outputs, as ai-edge-quantizer's rules match them."""
        names = [self.graph.tensors[index].name.decode() for index in self.raw.outputs if index >= 0]
        return "".join(f"{name};" for name in names)


def parse(content: bytes) -> Any:
    """The flatbuffer as Python objects (``ModelT`` of its schema), weights as views of the content.

    A file may hold weights behind the flatbuffer; they are put where the others are.
    """
    from ai_edge_litert.schema_py_generated import Model, ModelT

    model = ModelT.InitFromObj(Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 say that there is nothing
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write(model: Any) -> bytes:
    """The inverse of `parse`, for models below 2 GB."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operators(model: Any) -> Iterator[Operator]:
    """Every operator of every graph, in execution order."""
    for graph in model.subgraphs:
        for raw in graph.operators:
            name = graph.tensors[raw.outputs[0]].name.decode() if len(raw.outputs) else ""
            yield Operator(name, kind(model, raw), raw, graph)


def output_operators(model: Any) -> set[str]:
    """Names of the operators that compute outputs of the model: the last products, and what comes behind them.

    What takes one computed tensor, such as the sum with a stored bias, belongs to the operator before it.
    """
    found: set[str] = set()
    wanted = {int(index) for index in model.subgraphs[0].outputs}
    for operator in reversed([one for one in operators(model) if one.graph is model.subgraphs[0]]):
        if wanted.isdisjoint(int(index) for index in operator.raw.outputs):
            continue
        found.add(operator.name)
        tensors = operator.graph.tensors
        taken = {int(index) for index in operator.raw.inputs if index >= 0 and not is_constant(model, tensors[index])}
        if operator.kind not in PRODUCTS and len(taken) == 1:
            wanted |= taken
    return found


def kind(model: Any, operator: Any) -> str:
    """Name of an operator's built-in kind, such as ``CONV_2D``."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # as the schema says, for old and new files
    return _names("BuiltinOperator")[number]


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a tensor's content is in the file."""
    return model.buffers[tensor.buffer].data is not None


def type_name(tensor: Any) -> str:
    """Such as ``FLOAT32``."""
    return _names("TensorType")[tensor.type]


def is_quantized(tensor: Any) -> bool:
    """Whether a tensor holds quantized values; biases, which are INT32, do not count."""
    scale = tensor.quantization.scale if tensor.quantization is not None else None
    return scale is not None and len(scale) > 0 and type_name(tensor) != "INT32"


def layers(model: Any) -> tuple[tuple[LayerInfo, ...], MacCount]:
    """Operators that compute on quantized values, and how much of the arithmetic is theirs.

    An operator whose weights alone are stored in few bits computes on quantized values too where the engine quantizes
    its input as it runs. What runs in a loop is counted once: the file does not tell how often it runs.
    """
    infos = []
    low = total = 0
    for operator in operators(model):
        macs = _macs(operator)
        total += macs
        few = [_few_bits(tensor) for tensor in operator.inputs]
        if operator.kind in CASTS or not any(few):
            continue
        infos.append(LayerInfo(operator.name, operator.kind, macs))
        low += macs if all(few[:2]) or _is_hybrid(model, operator) else 0
    return tuple(infos), MacCount(low, total)


def _is_hybrid(model: Any, operator: Operator) -> bool:
    """Whether an operator of `PRODUCTS` takes a float and stored integers: its kernel quantizes the float."""
    if operator.kind not in PRODUCTS:
        return False
    data, weight = _operands(operator)
    return type_name(data) == "FLOAT32" and _few_bits(weight) and is_constant(model, weight)


def _operands(operator: Operator) -> tuple[Any, Any]:
    """Data and weight of an operator of `PRODUCTS`."""
    inputs = operator.inputs
    return (inputs[2], inputs[1]) if operator.kind == "TRANSPOSE_CONV" else (inputs[0], inputs[1])


def _few_bits(tensor: Any) -> bool:
    return is_quantized(tensor) and type_name(tensor) in _FEW_BITS


def _macs(operator: Operator) -> int:
    """Multiply-accumulates, with 1 for a free size."""
    if operator.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        sequence = _shape(operator.inputs[0])
        steps = sequence[0 if operator.raw.builtinOptions.timeMajor else 1]
        weights = (operator.graph.tensors[index] for index in operator.raw.inputs[1:9] if index >= 0)
        return steps * sum(math.prod(_shape(weight)) for weight in weights)
    if operator.kind not in PRODUCTS:
        return 0
    data, weight = _operands(operator)
    made = math.prod(_shape(operator.graph.tensors[operator.raw.outputs[0]]))
    if operator.kind == "CONV_2D":
        return made * math.prod(_shape(weight)[1:])
    if operator.kind == "DEPTHWISE_CONV_2D":
        return made * math.prod(_shape(weight)[1:3])
    if operator.kind == "TRANSPOSE_CONV":
        return math.prod(_shape(data)) * math.prod(_shape(weight)[:3])
    if operator.kind == "FULLY_CONNECTED":
        return made * _shape(weight)[-1]
    depth = _shape(data)[-2 if operator.raw.builtinOptions.adjX else -1]
    return made * depth


def _shape(tensor: Any) -> list[int]:
    return [int(length) for length in tensor.shape] if tensor.shape is not None else []


@cache
def _names(enumeration: str) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated

    values = vars(getattr(schema_py_generated, enumeration))
    return {number: name for name, number in values.items() if isinstance(number, int)}
