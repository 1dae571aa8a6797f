"""Keras on JAX to ONNX, by jax2onnx."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._jax import symbolic
from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.hops._onnx import opset_of, save
from edgekit.exporter.hops._pooling import to_channels_first
from edgekit.exporter.hops._shapes import free_size
from edgekit.exporter.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Recurrent layers up to this many time steps are written out: 1.3 to 2.8 times faster than a loop on both engines
#: (LSTM with 12 steps, two GRU with 10), and their matrices can be quantized.
MOST_STEPS = 32


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; free dimensions stay free.

    Raises:
        ModelError: JAX cannot express what the model does with a free dimension besides the batch.
    """
    import jax

    inputs = request.signature.inputs
    loaded = load(request.model)
    fold_normalization(loaded)
    loaded.unroll(MOST_STEPS)
    with _without_equinox():
        import jax2onnx

        try:
            model = jax2onnx.to_onnx(
                loaded.function(),
                symbolic(request.signature),
                model_name="model",
                opset=opset_of(request),
                input_names=[spec.name for spec in inputs],
                output_names=[spec.name for spec in request.signature.outputs],
            )
        except jax.errors.InconclusiveDimensionOperation as err:
            for spec in inputs:
                if None in spec.shape[1:]:
                    raise free_size(spec) from err
            raise
    to_channels_first(model.graph)
    return save(model, request)


@contextmanager
def _without_equinox() -> Iterator[None]:
    """Hide one framework from jax2onnx, which compiles layers of every framework it finds: 3 s."""
    logger = logging.getLogger("jax2onnx")
    level = logger.level
    hidden = "equinox" not in sys.modules
    if hidden:
        sys.modules["equinox"] = None  # type: ignore[assignment]  # None makes an import fail
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if hidden:
            del sys.modules["equinox"]
            logger.setLevel(level)
