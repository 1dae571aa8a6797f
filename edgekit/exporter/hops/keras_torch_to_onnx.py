"""Keras on torch to ONNX, by torch's exporter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.exporter.hops._names import layer_scopes
from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.hops._torch import fixed_batch, to_onnx, zeros
from edgekit.exporter.sources._torch_trace import positional
from edgekit.exporter.sources.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Length of a free batch while tracing: torch takes 0 and 1 for constants.
TRACED_BATCH = 2


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; a free batch stays free, but becomes 1 where torch cannot keep it.

    Raises:
        ModelError: a dimension besides the batch is free.
        JobFailed: torch cannot trace the model, with torch's reason.
    """
    import torch

    batch = torch.export.Dim("batch")
    free: tuple[dict[int, Any], ...] = tuple(
        {0: batch} if spec.shape[0] is None else {} for spec in request.signature.inputs
    )
    examples = zeros(request.signature, TRACED_BATCH)
    loaded = load(request.model, request.loading)
    fold_normalization(loaded)
    layer_scopes(loaded)
    module = positional(loaded)
    path = to_onnx(module, request, tuple(examples.values()), (free,))
    if request.signature.batch is None and fixed_batch(path) == TRACED_BATCH:
        # A layer that asks for the length gets the number traced with, and torch writes that down without a word.
        to_onnx(module, request, tuple(zeros(request.signature, 1).values()))
    return path
