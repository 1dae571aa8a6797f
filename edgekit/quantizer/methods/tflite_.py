"""Reading and writing .tflite files for their quantization methods, all by ai-edge-quantizer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.quantizer.methods import tflite_graph
from edgekit.quantizer.methods.samples import refuse_quantized, tool
from edgekit.quantizer.methods.scope import resolve
from edgekit.quantizer.methods.tflite_graph import Operator
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    from ai_edge_quantizer.recipe_manager import RecipeManager


def read(path: Path) -> tuple[bytes, Any]:
    """The content of a float model, and the model of it (``ModelT``).

    Raises:
        UsageError: it is quantized already.
    """
    content = path.read_bytes()
    model = tflite_graph.parse(content)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            kind = tflite_graph.type_name(tensor)
            if tflite_graph.is_quantized(tensor) or kind == "FLOAT16":
                refuse_quantized(f"tensor {tensor.name.decode()!r} of {kind}")
    return content, model


def left_float(request: QuantizeRequest, model: Any, operators: Collection[Operator]) -> set[str]:
    """Names of the operators that the recipe leaves in float.

    Raises:
        UsageError: it names none of the artifact.
    """
    known = {operator.name for operator in operators}
    # A whole name is that operator alone, though converters make it part of the name of others.
    whole = known.intersection(request.recipe.left_float)
    others = [wanted for wanted in request.recipe.left_float if wanted not in whole]
    outputs = tflite_graph.output_operators(model)
    return whole.union(resolve(others, [(operator.name, operator.kind) for operator in operators], outputs))


def rule(scopes: Iterable[str]) -> str:
    """The expression that matches the operators of these scopes and no others."""
    return f"^(?:{'|'.join(map(re.escape, scopes))})$"


def quantized(content: bytes, recipe: RecipeManager, ranges: Mapping[str, tuple[float, float]] | None = None) -> bytes:
    """Quantize by a recipe.

    Args:
        content: the float model.
        recipe: what to quantize and how.
        ranges: lowest and highest value by tensor name, for a recipe that quantizes activations.
    """
    import numpy as np
    from ai_edge_quantizer.quantizer import Quantizer

    limits: Any = None
    if not recipe.get_quantization_recipe():  # the library refuses to do nothing
        return content
    if ranges is not None:
        limits = {name: {"min": np.array([low]), "max": np.array([high])} for name, (low, high) in ranges.items()}
    quantizer = Quantizer(content, recipe.get_quantization_recipe())
    return bytes(quantizer.quantize(limits, enable_progress_report=False).quantized_model)


def restore_outputs(model: Any) -> bool:
    """Make the float outputs of a quantized model those that it had, in place; False where they are.

    Where the producer of an output stays float and another operator takes the quantized values, the library makes
    these the output of the model too.
    """
    moved = {}
    for operator in tflite_graph.operators(model):
        if operator.kind == "QUANTIZE" and operator.raw.outputs[0] in operator.graph.outputs:
            graph = model.subgraphs.index(operator.graph)
            moved[graph, int(operator.raw.outputs[0])] = int(operator.raw.inputs[0])
    for (graph, before), after in moved.items():
        outputs = model.subgraphs[graph].outputs
        model.subgraphs[graph].outputs = [after if index == before else index for index in outputs]
        for signature in model.signatureDefs or ():
            for output in signature.outputs if signature.subgraphIndex == graph else ():
                output.tensorIndex = after if output.tensorIndex == before else output.tensorIndex
    return bool(moved)


def outcome(
    request: QuantizeRequest,
    content: bytes,
    settings: Mapping[str, str],
    counted: str | None = None,
) -> QuantizeOutcome:
    """Write ``model.tflite`` and say what is in it.

    Args:
        request: says where to write.
        content: the quantized model.
        settings: of the method.
        counted: count only operators with a tensor of this type, such as ``INT4``; None counts every quantized one.
    """
    model = tflite_graph.parse(content)
    if request.recipe.io == "float" and restore_outputs(model):
        content = tflite_graph.write(model)
    entry = request.folder / "model.tflite"
    entry.write_bytes(content)
    infos, macs = tflite_graph.layers(model)
    computing = request.recipe.precision in ("int8", "int8-dynamic")
    return QuantizeOutcome(
        entry,
        _count(model, counted),
        {"tool": tool("ai-edge-quantizer"), **settings},
        layers=tuple(info.name for info in infos) if computing else (),
        macs=macs if computing else None,
        infos=infos if computing else (),
    )


def _count(model: Any, counted: str | None) -> int:
    """Operators with a quantized input; a cast counts where its input is a stored weight."""
    count = 0
    for operator in tflite_graph.operators(model):
        tensors = operator.inputs
        if operator.kind in tflite_graph.CASTS:
            tensors = tuple(tensor for tensor in tensors if tflite_graph.is_constant(model, tensor))
        kinds = [
            tflite_graph.type_name(tensor)
            for tensor in tensors
            if tflite_graph.is_quantized(tensor) or tflite_graph.type_name(tensor) == "FLOAT16"
        ]
        count += counted in kinds if counted else bool(kinds)
    return count
