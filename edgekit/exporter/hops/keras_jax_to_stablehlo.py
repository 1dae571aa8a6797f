"""Keras on JAX to StableHLO, with the weights as constants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError
from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.hops._shapes import traced
from edgekit.exporter.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Most time steps of a recurrent layer: it is written out, for the converters behind this one know no loops.
MOST_STEPS = 128


def convert(request: HopRequest) -> Path:
    """Write ``model.mlir``, portable bytecode; a free batch becomes 1.

    Raises:
        ModelError: a dimension besides the batch is free, or a recurrent layer has too many steps.
    """
    import jax

    arrays = [
        jax.ShapeDtypeStruct(shape, spec.dtype)
        for shape, spec in zip(traced(request.signature, 1), request.signature.inputs, strict=True)
    ]
    loaded = load(request.model)
    fold_normalization(loaded)
    loops = loaded.unroll(MOST_STEPS)
    if loops:
        raise ModelError(
            "too-many-steps",
            f"this converter writes recurrent layers out step by step, at most {MOST_STEPS} fixed steps.",
            received=f"layer {', '.join(loops)}",
            hint="Fix the number of steps with --input, or choose another --route.",
        )
    exported = jax.export.export(jax.jit(loaded.function()), platforms=["cpu"])(*arrays)
    path = request.folder / "model.mlir"
    path.write_bytes(exported.mlir_module_serialized)
    return path
