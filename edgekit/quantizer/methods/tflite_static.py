"""TFLite, int8 weights and activations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgekit.quantizer.methods import tflite_
from edgekit.quantizer.methods.samples import CalibrationBatches
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Quantize with ranges measured on the calibration samples.

    BATCH_MATMUL stays float: quantized, it takes a trained transformer to chance. Ranges are the true minimum
    and maximum: the library's own default, a moving average, loses 15 to 20 dB.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    left_out = [TFLOperationName.BATCH_MATMUL]
    if request.io == "float":
        left_out += [TFLOperationName.INPUT, TFLOperationName.OUTPUT]
    recipe = RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for operation in left_out:
        recipe.add_quantization_config(".*", operation, algorithm_key=AlgorithmName.NO_QUANTIZE)
    content = tflite_.read(request.model)
    batches = CalibrationBatches(request)
    outcome = tflite_.apply(request, content, recipe, _ranges(content, recipe, batches))
    settings = {
        **outcome.settings,
        "range": "min and max over all samples",
        "samples": str(batches.samples),
        "left_out": ", ".join(operation.value for operation in left_out),
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
    signature = calibrator.get_signature_list()
    key = next(iter(signature), None)
    for sample in batches:
        calibrator.calibrate({key: [sample]}, recipe)
    return calibrator.get_model_qsvs()
