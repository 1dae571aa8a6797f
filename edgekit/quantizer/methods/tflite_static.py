"""TFLite, int8 weights and activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.errors import UsageError
from edgekit.quantizer.methods import tflite_, tflite_bias, tflite_graph, tflite_islands, tflite_ranges
from edgekit.quantizer.methods.samples import CalibrationBatches
from edgekit.quantizer.methods.tflite_graph import Operator
from edgekit.quantizer.recipe import OUTPUTS
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    from ai_edge_quantizer.recipe_manager import RecipeManager

#: What the library calls a kind of operator, where that is not the schema's name.
_RENAMED = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Quantize with ranges measured on the calibration samples.

    A convolutional network is quantized whole, but for functions that are written out as arithmetic. Of any other
    model the matrix products and convolutions are, attention's included; what stands between them stays float. With
    int8 inputs and outputs, or for an NPU, which have no float arithmetic, everything that can be is quantized.

    HARD_SWISH stays float unless inputs and outputs are int8: LiteRT's CPU kernel for it is so slow that
    MobileNetV3Small took 4.1 ms in int8, 1.3 ms without it, and 2.2 ms in float32. A BATCH_MATMUL with a stored
    matrix has one scale for all of it: LiteRT reads the first scale only, which takes a trained model to chance.

    Raises:
        UsageError: a setting that this method does not have.
    """
    tflite_bias.refuse_fast(request.recipe)
    content, model = tflite_.read(request.model)
    every = list(tflite_graph.operators(model))
    left = tflite_.left_float(request, model, every)
    kind = request.recipe.model_kind
    if kind == "auto":
        kind = tflite_islands.model_kind(model)
    integers = request.recipe.io == "int8" or request.recipe.target_device == "npu"
    if integers and OUTPUTS in request.recipe.left_float:
        raise UsageError(
            "setting-not-taken",
            "a model for integers alone cannot compute its outputs in float.",
            received=f"left_float = {OUTPUTS!r}",
            hint=f"Leave {OUTPUTS} out, or use float inputs and outputs for another device than an NPU.",
        )
    able = [operator for operator in _supported(every) if operator.graph is model.subgraphs[0]]  # no loop's body
    chosen = able if integers or kind == "convolutional" else tflite_islands.products(model, able)
    if not integers:
        chosen = [operator for operator in chosen if operator.kind != "HARD_SWISH"]
    ranges = tflite_ranges.measure(request, content, _activations(model, chosen))
    unfit = tflite_islands.written_out(model, ranges)
    chosen = [operator for operator in chosen if operator.name not in unfit | left]
    chosen = tflite_islands.fed(model, chosen, whole=integers)
    recipe = _recipe(request, model, chosen)
    content = tflite_bias.corrected(request, content, chosen, lambda given: tflite_.quantized(given, recipe, ranges))
    settings = {
        "model_kind": kind,
        "samples": str(CalibrationBatches(request).samples),
        "left_out_operators": str(len(unfit)),
    }
    return tflite_.outcome(request, tflite_.quantized(content, recipe, ranges), settings)


def _supported(operators: list[Operator]) -> list[Operator]:
    """Operators that the library has an int8 form for."""
    from ai_edge_quantizer.default_policy import DEFAULT_CONFIG_CHECK_POLICY

    known = {name.value for name in DEFAULT_CONFIG_CHECK_POLICY}
    return [operator for operator in operators if _RENAMED.get(operator.kind, operator.kind) in known]


def _activations(model: object, operators: list[Operator]) -> set[str]:
    """Names of the tensors that operators take and give, but for those stored in the file."""
    found = (
        operator.graph.tensors[index]
        for operator in operators
        for index in (*operator.raw.inputs, *operator.raw.outputs)
        if index >= 0
    )
    return {tensor.name.decode() for tensor in found if not tflite_graph.is_constant(model, tensor)}


def _recipe(request: QuantizeRequest, model: object, chosen: list[Operator]) -> RecipeManager:
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    recipe = RecipeManager()
    whole = QuantGranularity.CHANNELWISE if request.recipe.per_channel else QuantGranularity.TENSORWISE
    stored = [
        operator
        for operator in chosen
        if operator.kind == "BATCH_MATMUL" and any(tflite_graph.is_constant(model, one) for one in operator.inputs)
    ]
    others = [operator for operator in chosen if operator not in stored]
    for operators, granularity in ((others, whole), (stored, QuantGranularity.TENSORWISE)):
        if operators:
            recipe.add_static_config(
                tflite_.rule(operator.scope for operator in operators),
                TFLOperationName.ALL_SUPPORTED,
                activation_num_bits=8,
                weight_num_bits=8,
                weight_granularity=granularity,
            )
    if request.recipe.io == "int8":
        for name in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            recipe.add_static_config(".*", name, activation_num_bits=8, weight_num_bits=8)
    return recipe
