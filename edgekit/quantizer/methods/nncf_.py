"""Settings of NNCF that were measured better than its defaults."""

from __future__ import annotations

from typing import Any

#: Weights that share one 4-bit scale: smaller groups are more accurate, and 32 costs half a bit per weight.
#: onnxruntime runs 16, 32, 64, 128 and 256.
GROUP_SIZE = 32

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


def int4_groups() -> tuple[dict[str, Any], dict[str, str]]:
    """Options of ``nncf.compress_weights`` for symmetric int4, and the same for the settings of an artifact."""
    from nncf import AdvancedCompressionParameters, BackupMode, CompressWeightsMode, GroupSizeFallbackMode

    options = {
        "mode": CompressWeightsMode.INT4_SYM,
        "group_size": GROUP_SIZE,
        "backup_mode": BackupMode.INT8_SYM,
        "advanced_parameters": AdvancedCompressionParameters(
            group_size_fallback_mode=GroupSizeFallbackMode.ADJUST  # else a small layer is an error
        ),
    }
    described = {
        "mode": "int4_sym",
        "group_size": str(GROUP_SIZE),
        "group_size_fallback": "adjust",
        "backup": "int8_sym",
    }
    return options, described
