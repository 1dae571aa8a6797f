"""TFLite, weights in fewer bits: int8 with integer arithmetic, and int8, int4 or float16 with float arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import UsageError
from edgekit.quantizer.methods import tflite_, tflite_graph
from edgekit.quantizer.methods.tflite_graph import Operator
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    from ai_edge_quantizer.qtyping import QuantGranularity
    from ai_edge_quantizer.recipe_manager import RecipeManager

#: Operators whose weights LiteRT can hold in 4 bits.
_FOUR_BITS = ("CONV_2D", "FULLY_CONNECTED")


def int8_dynamic(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as int8; the engine quantizes activations while it runs.

    BATCH_MATMUL stays float: LiteRT refuses a file in which its first operand is a stored matrix of int8.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    def rules(recipe: RecipeManager, granularity: QuantGranularity) -> None:
        recipe.add_dynamic_config(".*", TFLOperationName.ALL_SUPPORTED, num_bits=8, granularity=granularity)
        recipe.add_quantization_config(".*", TFLOperationName.BATCH_MATMUL, algorithm_key=AlgorithmName.NO_QUANTIZE)

    return _quantized(request, rules, {"left_out": "BATCH_MATMUL"})


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as int8 with one scale per channel, or per tensor."""
    from ai_edge_quantizer.qtyping import TFLOperationName

    def rules(recipe: RecipeManager, granularity: QuantGranularity) -> None:
        recipe.add_weight_only_config(".*", TFLOperationName.ALL_SUPPORTED, num_bits=8, granularity=granularity)

    return _quantized(request, rules, {})


def int4(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights of convolutions and matrix products as int4, those of other operators as int8.

    With ``ratio`` below 1 only that share of them is int4: those that 4 bits change least. ``octav`` clips each
    channel where the squared error is least (Sakr et al., 2022): 2.5 dB better than its minimum and maximum on a
    convolutional network, and 2 dB worse on a transformer and an LSTM.

    Raises:
        UsageError: an algorithm that the library has no 4 bits for.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    known = {"plain": AlgorithmName.MIN_MAX_UNIFORM_QUANT, "octav": AlgorithmName.OCTAV}
    if request.recipe.algorithm not in known:
        raise UsageError(
            "setting-not-taken",
            f"{request.recipe.precision} of TFLite has no such algorithm.",
            received=f"algorithm = {request.recipe.algorithm!r}",
            hint=f"Choose one of: {', '.join(known)}.",
        )

    def rules(recipe: RecipeManager, granularity: QuantGranularity) -> None:
        recipe.add_weight_only_config(".*", TFLOperationName.ALL_SUPPORTED, num_bits=8, granularity=granularity)
        recipe.add_weight_only_config(
            tflite_.rule(operator.scope for operator in _most_robust(request)),
            TFLOperationName.ALL_SUPPORTED,
            num_bits=4,
            granularity=granularity,
            algorithm_key=known[request.recipe.algorithm],
        )

    return _quantized(request, rules, {}, "INT4")


def fp16(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as float16."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )

    def rules(recipe: RecipeManager, _: QuantGranularity) -> None:
        recipe.add_quantization_config(
            ".*", qtyping.TFLOperationName.ALL_SUPPORTED, config, algorithm_key=AlgorithmName.FLOAT_CASTING
        )

    return _quantized(request, rules, {})


def _quantized(
    request: QuantizeRequest,
    rules: Callable[[RecipeManager, QuantGranularity], None],
    settings: Mapping[str, str],
    counted: str | None = None,
) -> QuantizeOutcome:
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    content, model = tflite_.read(request.model)
    operators = list(tflite_graph.operators(model))
    left = tflite_.left_float(request, model, operators)
    recipe = RecipeManager()
    rules(recipe, QuantGranularity.CHANNELWISE if request.recipe.per_channel else QuantGranularity.TENSORWISE)
    if left:  # the last rule wins
        scopes = (operator.scope for operator in operators if operator.name in left)
        recipe.add_quantization_config(
            tflite_.rule(scopes), TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    return tflite_.outcome(request, tflite_.quantized(content, recipe), settings, counted)


def _most_robust(request: QuantizeRequest) -> list[Operator]:
    """Operators that take 4 bits, as many as the recipe's share of their weights allows."""
    model = tflite_graph.parse(request.model.read_bytes())
    found = [
        (operator, _weight(model, operator))
        for operator in tflite_graph.operators(model)
        if operator.kind in _FOUR_BITS
    ]
    stored = [(operator, weight) for operator, weight in found if weight is not None]
    stored.sort(key=lambda one: _error(one[1]))
    room = request.recipe.ratio * sum(weight.size for _, weight in stored)
    chosen = []
    for operator, weight in stored:
        if weight.size <= room:
            chosen.append(operator)
            room -= weight.size
    return chosen


def _weight(model: Any, operator: Operator) -> np.ndarray | None:
    """``(outputs, ...)``; None where it is computed."""
    tensor = operator.inputs[1]
    if not tflite_graph.is_constant(model, tensor):
        return None
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.float32)
    return data.reshape(tuple(int(length) for length in tensor.shape))


def _error(weight: np.ndarray) -> float:
    """Noise of 4 bits with one scale per output channel, relative to the weight's power."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-30) / 7
    noise = rows - np.round(rows / scales) * scales
    return float((noise**2).sum() / max((rows**2).sum(), 1e-30))
