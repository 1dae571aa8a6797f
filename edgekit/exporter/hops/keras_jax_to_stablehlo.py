"""Keras on JAX to StableHLO, with the weights as constants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._jax import MODULE, MOST_STEPS_STABLEHLO, fixed, to_stablehlo, too_many_steps
from edgekit.exporter.hops._jax_patches import plain_extremes
from edgekit.exporter.hops._normalization import flatten_dense, fold_normalization
from edgekit.exporter.sources.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.mlir``, portable bytecode; a free batch becomes 1.

    Raises:
        ModelError: a dimension besides the batch is free, or a recurrent layer has too many steps.
    """
    fixed(request.signature)  # refuses free dimensions before anything is loaded
    loaded = load(request.model, request.loading)
    fold_normalization(loaded)
    flatten_dense(loaded)
    loops = loaded.unroll(MOST_STEPS_STABLEHLO)
    if loops:
        hint = "Fix the number of steps with --input, or choose another --route."
        raise too_many_steps(tuple(f"layer {name}" for name in loops), hint)
    path = request.folder / MODULE
    with plain_extremes():
        path.write_bytes(to_stablehlo(loaded.function(), request.signature).mlir_module_serialized)
    return path
