"""Settings of NNCF that were measured better than its defaults."""

from __future__ import annotations

from typing import Any

#: What `advanced` sets, for the settings of an artifact.
DESCRIBED = {"range": "min and max over all samples", "bias_correction": "off", "activations": "per tensor"}


def advanced() -> Any:
    """Advanced parameters of ``nncf.quantize``.

    Ranges are the true minimum and maximum: NNCF's default averages them over samples, which lost 8 to 20 dB on
    every trained model measured. Its fast bias correction made two of four models worse. Activations are
    quantized per tensor: onnxruntime cannot run a depthwise convolution with ranges per channel.
    """
    from nncf import AdvancedQuantizationParameters
    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return AdvancedQuantizationParameters(
        disable_bias_correction=True,
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        activations_quantization_params=QuantizationParameters(per_channel=False),
    )
