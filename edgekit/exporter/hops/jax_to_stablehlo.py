"""A JAX function to StableHLO, with the weights as constants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._jax import MODULE, MOST_STEPS_STABLEHLO, fixed, to_stablehlo, too_many_steps
from edgekit.exporter.sources._jaxpr import trace
from edgekit.exporter.sources.jax_ import load_function

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.mlir``, portable bytecode; a free batch becomes 1.

    With a free batch TFLite gets shape arithmetic around every layer: 47 operators in place of 4 for two dense ones.

    Raises:
        ModelError: a dimension besides the batch is free, or a loop has too many steps.
    """
    loaded = load_function(request.model, request.loading)
    traced = trace(loaded.function, fixed(request.signature))
    loops = traced.loops(MOST_STEPS_STABLEHLO)
    if loops:
        raise too_many_steps(loops, "Take fewer steps, write the loop out with unroll=True, or choose another --route.")
    path = request.folder / MODULE
    exported = to_stablehlo(traced.evaluate(MOST_STEPS_STABLEHLO), request.signature)
    path.write_bytes(exported.mlir_module_serialized)
    return path
