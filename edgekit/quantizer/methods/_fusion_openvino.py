"""Whether OpenVINO's CPU plugin computes a quantized model as it is written.

The plugin joins a multiplication with the FakeQuantize behind it, and gets models that NNCF smoothed wrong: a trained
classifier came out at -50 dB. Its switch ``LP_TRANSFORMS_MODE`` turns integer kernels off, and with them the fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import JobFailed
from edgekit.quantizer.methods.samples import CalibrationBatches
from edgekit.quantizer.registry import QuantizeRequest

if TYPE_CHECKING:
    import openvino

#: Inferences that are compared.
INFERENCES = 16

#: The integer kernels may be this much noisier than the same quantizers in float: they agree to 1 dB when all is well.
MARGIN_DB = 6.0


def refuse_wrong_fusion(model: openvino.Model, quantized: openvino.Model, request: QuantizeRequest) -> None:
    """Run a smoothed model with and without integer kernels.

    Args:
        model: in float.
        quantized: the same with quantizers.
        request: holds the samples.

    Raises:
        JobFailed: the integer kernels compute something else.
    """
    batches = [batch for batch, _ in zip(CalibrationBatches(request), range(INFERENCES), strict=False)]
    reference = _run(model, batches, {})
    written = _run(quantized, batches, {"LP_TRANSFORMS_MODE": "NO"})
    computed = _run(quantized, batches, {})
    before, after = _sqnr_db(reference, written), _sqnr_db(reference, computed)
    if after < before - MARGIN_DB:
        raise JobFailed(
            "wrong-fusion",
            "OpenVINO's CPU plugin fuses the smoothed model wrongly, so that its integer kernels compute another.",
            received=f"{after:.0f} dB on the calibration samples, {before:.0f} dB with integer kernels off",
            hint="Leave smooth_quant out of the recipe.",
        )


def _run(model: openvino.Model, batches: list[dict[str, np.ndarray]], config: dict[str, str]) -> list[np.ndarray]:
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **config})
    request = compiled.create_infer_request()
    return [np.concatenate([part.ravel() for part in request.infer(batch).values()]) for batch in batches]


def _sqnr_db(reference: list[np.ndarray], got: list[np.ndarray]) -> float:
    exact = np.stack(reference).astype(np.float64)
    noise = ((np.stack(got) - exact) ** 2).sum()
    signal = ((exact - exact.mean(axis=0)) ** 2).sum()
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))
