"""A JAX function to ONNX, by jax2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError
from edgekit.exporter.hops._jax import MOST_STEPS_ONNX, to_onnx, undecided
from edgekit.exporter.sources._jax_shapes import symbolic
from edgekit.exporter.sources._jaxpr import trace
from edgekit.exporter.sources.jax_ import load_function

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; free dimensions stay free.

    jax2onnx replaces functions of JAX and layers of Flax by its own while it traces. That gives fewer operators (a
    transformer of two blocks runs in 0.8 ms, not 1.7), but its own do not take every argument. So there are two ways:
    the function itself, and primitive by primitive, which also writes short loops out. The better one goes first.

    Raises:
        ModelError: JAX cannot express what the function does with a free dimension.
    """
    loaded = load_function(request.model, request.loading)
    arrays = symbolic(request.signature.inputs)
    with undecided(request):
        traced = trace(loaded.function, arrays)  # before jax2onnx replaces anything
    ways = [loaded.function, traced.evaluate(MOST_STEPS_ONNX)]
    if traced.has_short_loops(MOST_STEPS_ONNX):
        ways.reverse()
    try:
        return to_onnx(ways[0], arrays, request)
    except ModelError:
        raise
    except Exception:  # noqa: BLE001  # jax2onnx fails in many ways; what fails on the other way too is raised
        return to_onnx(ways[1], arrays, request)
