"""Keras on torch to TFLite, by litert-torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._names import layer_scopes, litert_names
from edgekit.exporter.hops._normalization import flatten_dense, fold_normalization
from edgekit.exporter.hops._torch import named, zeros
from edgekit.exporter.sources.keras_ import load

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.tflite``; a free batch becomes 1.

    Raises:
        ModelError: a dimension besides the batch is free.
    """
    import litert_torch

    examples = zeros(request.signature, 1)
    loaded = load(request.model, request.loading)
    fold_normalization(loaded)
    flatten_dense(loaded)
    layer_scopes(loaded)
    path = request.folder / "model.tflite"
    with litert_names():
        litert_torch.convert(named(loaded, request.signature), sample_kwargs=examples).export(str(path))
    return path
