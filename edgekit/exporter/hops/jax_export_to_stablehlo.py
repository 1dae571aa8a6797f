"""A serialized JAX function to StableHLO with fixed shapes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._jax import MODULE, to_stablehlo, too_many_steps
from edgekit.exporter.sources.jax_ import load_exported

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.mlir``, portable bytecode; a free batch becomes 1.

    The file keeps its symbols: a call with fixed shapes still computes them at run time (41 operators of TFLite in
    place of 4). So the shapes are refined through the whole module.

    Raises:
        ModelError: a dimension besides the batch is free, or there is a loop.
    """
    from jax.extend import mlir
    from jaxlib.mlir.dialects import stablehlo

    loaded = load_exported(request.model, request.loading)
    text = to_stablehlo(loaded.function, request.signature).mlir_module()
    if re.search(r"\bstablehlo\.while\b", text):
        raise too_many_steps(("a loop that is in the file",), "Export it again with the loop written out: unroll=True.")
    version = stablehlo.get_version_from_compatibility_requirement(stablehlo.StablehloCompatibilityRequirement.WEEK_12)
    path = request.folder / MODULE
    path.write_bytes(mlir.serialize_portable_artifact(mlir.refine_polymorphic_shapes(text.encode()), version))
    return path
