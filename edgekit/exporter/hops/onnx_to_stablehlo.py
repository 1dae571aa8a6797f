"""ONNX to StableHLO, through JAX: the way to TFLite that needs neither torch nor TensorFlow.

The libraries that do it (jaxonnxruntime, onnx2torch) take two and three of eleven small models of today's exporters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.exporter.hops._graph_jax import run
from edgekit.exporter.hops._onnx_file import load
from edgekit.exporter.hops._quantized import refuse_quantized_onnx
from edgekit.exporter.hops._shapes import traced

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.mlir``, portable bytecode with weights as constants; a free batch becomes 1.

    Raises:
        ModelError: a dimension besides the batch is free, the model is quantized, or it has an operator that is not
            in the tables.
    """
    import jax
    from onnx import inliner

    model = load(request.model)
    refuse_quantized_onnx(model)
    graph = inliner.inline_local_functions(model).graph
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    names = [spec.name for spec in request.signature.inputs]

    def function(*arrays: Any) -> tuple[Any, ...]:
        return tuple(run(graph, dict(zip(names, arrays, strict=True)), opset))

    shapes = traced(request.signature, 1)
    with jax.enable_x64(True):  # ONNX counts and indexes in int64, and models give such outputs
        arrays = [
            jax.ShapeDtypeStruct(shape, spec.dtype)
            for shape, spec in zip(shapes, request.signature.inputs, strict=True)
        ]
        exported = jax.export.export(jax.jit(function), platforms=["cpu"])(*arrays)
    path = request.folder / "model.mlir"
    path.write_bytes(exported.mlir_module_serialized)
    return path
