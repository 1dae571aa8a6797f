"""TFLite, int8 weights and activations."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from edgekit.errors import ModelError
from edgekit.quantizer.methods import tflite_, tflite_islands
from edgekit.quantizer.methods.samples import CalibrationBatches
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Quantize with ranges measured on the calibration samples.

    Ranges are the true minimum and maximum: the library's own default, a moving average, loses 15 to 20 dB.
    BATCH_MATMUL stays float: quantized, it takes a trained transformer to chance. HARD_SWISH stays float unless
    inputs and outputs are int8, as integer-only devices want them: LiteRT's CPU kernel for it is so slow that
    MobileNetV3Small took 4.1 ms in int8, 1.3 ms without it, and 2.2 ms in float32.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    left_out = [TFLOperationName.BATCH_MATMUL]
    if request.recipe.io == "float":
        left_out += [TFLOperationName.INPUT, TFLOperationName.OUTPUT, TFLOperationName.HARD_SWISH]
    recipe = RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for operation in left_out:
        recipe.add_quantization_config(".*", operation, algorithm_key=AlgorithmName.NO_QUANTIZE)
    content = tflite_.read(request.model)
    batches = CalibrationBatches(request)
    ranges = _ranges(content, recipe, batches)
    kept = tflite_islands.float_operators(content, ranges)
    for name in kept:
        recipe.add_quantization_config(
            f"^{re.escape(name)};", TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    outcome = tflite_.apply(request, content, recipe, ranges)
    settings = {
        **outcome.settings,
        "range": "min and max over all samples",
        "samples": str(batches.samples),
        "left_out": ", ".join(operation.value for operation in left_out),
        "left_out_operators": str(len(kept)),
    }
    return replace(outcome, settings=settings)


def _ranges(content: bytes, recipe: Any, batches: CalibrationBatches) -> Any:
    from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    calibrator = Calibrator(
        memoryview(content),
        num_threads=1,
        mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=min_max_update,
    )
    key = next(iter(calibrator.get_signature_list()), None)
    if key is None:
        raise ModelError(
            "no-signature",
            "the .tflite file has no signature, so its inputs have no names to calibrate by.",
            hint="Export it with edgekit export --target tflite, or use --precision int8-dynamic.",
        )
    for sample in batches:
        calibrator.calibrate({key: [sample]}, recipe)
    return calibrator.get_model_qsvs()
