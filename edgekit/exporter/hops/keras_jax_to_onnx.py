"""Keras on JAX to ONNX, by jax2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._jax import MOST_STEPS_ONNX, to_onnx_somehow
from edgekit.exporter.hops._jax_patches import plain_extremes
from edgekit.exporter.hops._normalization import fold_normalization, plain_layer_normalization
from edgekit.exporter.sources._jax_shapes import symbolic
from edgekit.exporter.sources._jaxpr import trace
from edgekit.exporter.sources.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; free dimensions stay free.

    Raises:
        ModelError: JAX cannot express what the model does with a free dimension besides the batch.
    """
    loaded = load(request.model, request.loading)
    fold_normalization(loaded)
    plain_layer_normalization(loaded)
    loaded.unroll(MOST_STEPS_ONNX)
    ways = [
        lambda _: loaded.function(),
        lambda arrays: trace(loaded.function(), arrays).evaluate(MOST_STEPS_ONNX),
    ]
    with plain_extremes():
        return to_onnx_somehow(ways, symbolic(request.signature.inputs), request)
