"""A JAX function to ONNX, by jax2onnx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.exporter.hops._jax import MOST_STEPS_ONNX, Function, to_onnx_somehow, undecided
from edgekit.exporter.sources._jax_shapes import symbolic
from edgekit.exporter.sources._jaxpr import trace
from edgekit.exporter.sources.jax_ import load_function

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; free dimensions stay free.

    Raises:
        ModelError: JAX cannot express what the function does with a free dimension.
    """
    loaded = load_function(request.model, request.loading)
    arrays = symbolic(request.signature.inputs)
    with undecided(request):
        traced = trace(loaded.function, arrays)  # before jax2onnx replaces anything

    def by_primitives(shapes: Sequence[Any]) -> Function:
        found = traced if shapes is arrays else trace(loaded.function, shapes)
        return found.evaluate(MOST_STEPS_ONNX)

    ways = [lambda _: loaded.function, by_primitives]
    if traced.has_short_loops(MOST_STEPS_ONNX):  # only primitive by primitive are they written out
        ways.reverse()
    return to_onnx_somehow(ways, arrays, request)
