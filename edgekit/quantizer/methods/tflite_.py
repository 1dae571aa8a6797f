"""Reading, counting and writing .tflite files for their quantization methods, all by ai-edge-quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.quantizer.methods.samples import refuse_quantized, tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    from ai_edge_quantizer.recipe_manager import RecipeManager

#: Operators that only change the representation.
_CASTS = ("QUANTIZE", "DEQUANTIZE")


def read(path: Path) -> bytes:
    """The content of a float model.

    Raises:
        UsageError: it is quantized already.
    """
    content = path.read_bytes()
    for graph in parse(content).subgraphs:
        for tensor in graph.tensors:
            if _is_quantized(tensor) or _type_name(tensor) == "FLOAT16":
                refuse_quantized(f"tensor {tensor.name.decode()!r} of {_type_name(tensor)}")
    return content


def apply(
    request: QuantizeRequest, content: bytes, recipe: RecipeManager, ranges: Any = None, counted: str | None = None
) -> QuantizeOutcome:
    """Quantize by a recipe and write ``model.tflite``.

    Args:
        request: says where to write.
        content: the float model.
        recipe: what to quantize and how.
        ranges: minimum and maximum of every tensor, for a recipe that quantizes activations.
        counted: count only operators with a tensor of this type, such as ``INT4``; None counts every quantized one.
    """
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(content, recipe.get_quantization_recipe())
    quantized = bytes(quantizer.quantize(ranges, enable_progress_report=False).quantized_model)
    entry = request.folder / "model.tflite"
    entry.write_bytes(quantized)
    return QuantizeOutcome(entry, _count(quantized, counted), {"tool": tool("ai-edge-quantizer")})


def _count(content: bytes, counted: str | None) -> int:
    """Operators with a quantized input; a cast counts where its input is a stored weight."""
    model = parse(content)
    count = 0
    for graph in model.subgraphs:
        for operator in graph.operators:
            tensors = [graph.tensors[index] for index in operator.inputs if index >= 0]
            if kind(model, operator) in _CASTS:
                tensors = [tensor for tensor in tensors if is_constant(model, tensor)]
            kinds = [
                _type_name(tensor) for tensor in tensors if _is_quantized(tensor) or _type_name(tensor) == "FLOAT16"
            ]
            count += counted in kinds if counted else bool(kinds)
    return count


def parse(content: bytes) -> Any:
    """The flatbuffer as Python objects (``ModelT`` of its schema)."""
    from ai_edge_litert.schema_py_generated import Model, ModelT

    return ModelT.InitFromObj(Model.GetRootAs(content, 0))


def kind(model: Any, operator: Any) -> str:
    """Name of an operator's built-in kind, such as ``CONV_2D``."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # as the schema says, for old and new files
    return _name_in(BuiltinOperator, number)


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a tensor's content is in the file."""
    return model.buffers[tensor.buffer].data is not None


def _is_quantized(tensor: Any) -> bool:
    scale = tensor.quantization.scale if tensor.quantization is not None else None
    return scale is not None and len(scale) > 0 and _type_name(tensor) != "INT32"


def _type_name(tensor: Any) -> str:
    from ai_edge_litert.schema_py_generated import TensorType

    return _name_in(TensorType, tensor.type)


def _name_in(enumeration: type, number: int) -> str:
    return next(name for name, value in vars(enumeration).items() if value == number)
