"""Keras on torch to ONNX, by torch's exporter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.exporter.hops._onnx import OPSET, save
from edgekit.exporter.hops._torch import module, zeros
from edgekit.exporter.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Length of a free batch while tracing: torch takes 1 and 0 for constants.
TRACED_BATCH = 2


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; a free batch stays free.

    Raises:
        ModelError: a dimension other than the batch is free.
    """
    import torch

    loaded = load(request.model)
    batch = torch.export.Dim("batch")
    free: list[dict[int, Any]] = [{0: batch} if spec.shape[0] is None else {} for spec in request.signature.inputs]
    program = torch.onnx.export(
        module(loaded),
        zeros(request.signature, TRACED_BATCH),
        dynamo=True,
        dynamic_shapes=(tuple(free),),
        opset_version=request.opset or OPSET,
        input_names=[spec.name for spec in request.signature.inputs],
        output_names=[spec.name for spec in request.signature.outputs],
        optimize=True,  # folds normalisation and constants
        verbose=False,
    )
    return save(program.model_proto, request)
