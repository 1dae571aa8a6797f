"""Reads the layers of a ``.keras`` file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgekit.exporter.keras_ import load
from edgekit.inspection.facts import Graph, precision_of


def read(path: Path) -> Graph:
    """Describe a ``.keras`` file, loaded in safe mode on the backend of this process."""
    import keras

    loaded = load(path)
    layers = Counter(type(layer).__name__ for layer in loaded.layers)
    dtypes = {keras.backend.standardize_dtype(weight.dtype) for weight in loaded.model.weights}
    return Graph(
        parameters=loaded.parameters,
        operators={name: count for name, count in layers.most_common() if name != "InputLayer"},
        precision=precision_of(dtypes, quantized_activations=False),
        format={"written by": loaded.framework},
        backend=keras.backend.backend(),
    )
