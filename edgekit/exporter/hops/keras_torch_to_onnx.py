"""Keras on torch to ONNX, by torch's exporter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import JobFailed
from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.hops._onnx import name_outputs, opset_of, save
from edgekit.exporter.hops._torch import positional, zeros
from edgekit.exporter.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Names of outputs while tracing: a layer called like an output would give one name to two values.
PLACEHOLDER = "edgekit_output_"

#: Length of a free batch while tracing: torch takes 0 and 1 for constants.
TRACED_BATCH = 2


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; a free batch stays free.

    Raises:
        ModelError: a dimension besides the batch is free.
        JobFailed: torch cannot trace the model, with torch's reason.
    """
    import torch

    inputs, outputs = request.signature.inputs, request.signature.outputs
    batch = torch.export.Dim("batch")
    free: tuple[dict[int, Any], ...] = tuple({0: batch} if spec.shape[0] is None else {} for spec in inputs)
    examples = zeros(request.signature, TRACED_BATCH)
    loaded = load(request.model)
    fold_normalization(loaded)
    try:
        program = torch.onnx.export(
            positional(loaded),
            tuple(examples.values()),
            dynamo=True,
            dynamic_shapes=(free,),
            opset_version=opset_of(request),
            input_names=[spec.name for spec in inputs],
            output_names=[f"{PLACEHOLDER}{index}" for index in range(len(outputs))],
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as err:
        cause = err.__cause__ or err  # its own text is a page of general advice
        raise JobFailed(
            "torch-export-failed",
            f"torch cannot export the model: {next(iter(str(cause).splitlines()), type(cause).__name__)}",
            hint="Choose another --route.",
        ) from err
    assert program is not None  # with dynamo there is always one
    model = program.model_proto
    name_outputs(model.graph, [spec.name for spec in outputs])
    return save(model, request)
