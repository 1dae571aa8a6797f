"""A recipe as arguments of NNCF's static quantization."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.errors import UsageError
from edgekit.quantizer.methods.samples import CalibrationBatches, tool
from edgekit.quantizer.methods.scope import resolve
from edgekit.quantizer.presets import model_kind
from edgekit.quantizer.recipe import ModelKind, Recipe
from edgekit.quantizer.registry import QuantizeRequest

#: Share of values beyond a range of ``percentile``, at each end of each sample.
OUTLIERS = 1e-3


def quantize(
    model: Any, request: QuantizeRequest, operators: Sequence[tuple[str, str]], left_out: Sequence[str] = ()
) -> tuple[Any, dict[str, str]]:
    """Insert quantizers by a recipe.

    Args:
        model: an OpenVINO or ONNX model; NNCF works on a copy.
        request: says the recipe and holds the samples.
        operators: name and type of every operator.
        left_out: types of operators that the engine does not run in int8.

    Returns:
        The model, and facts about it for the settings of the artifact.

    Raises:
        UsageError: the recipe names an unknown operator, or settings that contradict each other.
    """
    import nncf

    recipe = request.recipe
    kind = recipe.model_kind if recipe.model_kind != "auto" else model_kind(Counter(kind for _, kind in operators))
    batches = CalibrationBatches(chosen(request))
    given = resolve(recipe.left_float, operators)
    types = sorted({kind for _, kind in operators} & set(left_out))  # NNCF refuses a type that a model does not have
    quantized = nncf.quantize(
        model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        ignored_scope=nncf.IgnoredScope(names=list(given), types=types),
        **_options(recipe, kind),
    )
    settings = {
        "tool": tool("nncf"),
        "model_kind": kind,
        "samples": str(batches.samples),
        "left_out": ", ".join(types),
    }
    return quantized, settings


def chosen(request: QuantizeRequest) -> QuantizeRequest:
    """The request with as many samples as the recipe takes at most, drawn with its seed."""
    count = min(len(array) for array in request.calibration.values())
    if count <= request.recipe.samples:
        return request
    rows = np.sort(np.random.default_rng(request.recipe.seed).permutation(count)[: request.recipe.samples])
    drawn: Mapping[str, np.ndarray] = {name: array[rows] for name, array in request.calibration.items()}
    return replace(request, calibration=drawn)


def _options(recipe: Recipe, kind: ModelKind) -> dict[str, Any]:
    """Keyword arguments of ``nncf.quantize``.

    Its model type ``transformer`` leaves arithmetic between matrix products in float, which a gated cell needs as
    much: 44 dB instead of 35 on a trained LSTM in OpenVINO.
    """
    import nncf

    between_in_float = kind in ("transformer", "recurrent")
    if recipe.smooth_quant is not None and not between_in_float:
        raise UsageError(
            "smooth-quant-needs-products",
            "NNCF smooths the activations of transformers and recurrent models only.",
            received=f"a model of the kind {kind}",
            hint="Leave smooth_quant out, or give the kind: model_kind = transformer.",
        )
    return {
        "preset": nncf.QuantizationPreset(recipe.preset),
        "target_device": nncf.TargetDevice(recipe.target_device.upper()),
        "model_type": nncf.ModelType.TRANSFORMER if between_in_float else None,
        "fast_bias_correction": recipe.bias_correction != "full",
        "advanced_parameters": _advanced(recipe),
    }


def _advanced(recipe: Recipe) -> Any:
    """Advanced parameters.

    Weights of the first convolution take all 8 bits unless the device is ``cpu``, which means any: one without
    8-bit dot products adds two products in 16 bits, where they overflow. NNCF halves their range for every device,
    which cost 3 dB of a small network.
    """
    from nncf import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters, QuantizationParameters

    channels = None if recipe.activation_channels else False  # None leaves it to the operator
    alpha = -1.0 if recipe.smooth_quant is None else recipe.smooth_quant
    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.FIRST_LAYER if recipe.target_device == "cpu" else OverflowFix.DISABLE,
        disable_bias_correction=recipe.bias_correction == "off",
        activations_range_estimator_params=_ranges(recipe.ranges),
        activations_quantization_params=QuantizationParameters(per_channel=channels),
        weights_quantization_params=QuantizationParameters(per_channel=None if recipe.per_channel else False),
        smooth_quant_alphas=AdvancedSmoothQuantParameters(convolution=-1, matmul=alpha),
    )


def _ranges(name: str) -> Any:
    """The range estimator of activations."""
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        RangeEstimatorParametersSet,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    if name == "percentile":
        return RangeEstimatorParameters(
            min=StatisticsCollectorParameters(
                StatisticsType.QUANTILE, AggregatorType.MIN, quantile_outlier_prob=OUTLIERS
            ),
            max=StatisticsCollectorParameters(
                StatisticsType.QUANTILE, AggregatorType.MAX, quantile_outlier_prob=OUTLIERS
            ),
        )
    known = {
        "minmax": RangeEstimatorParametersSet.MINMAX,
        "histogram": RangeEstimatorParametersSet.HISTOGRAM,
        "average": RangeEstimatorParametersSet.MEAN_MINMAX,
    }
    return known[name]
