"""Random weights that make a model worth comparing: seeded, equal under every backend, outputs that vary.

Freshly built networks are useless for a comparison: the statistics of normalisation are those of nothing, biases are
zero, and a deep classifier answers every input with the same probabilities. So kernels are drawn with the scale of
their fan-in (LeCun et al. 1998; twice the variance for convolutions, He et al. 2015), biases and scales of
normalisation are moved off zero and one, and batch normalisation is given the statistics of real passes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: Samples that batch normalisation takes its statistics from.
SAMPLES = 16

_SEED = 7


def seeded(model: Any, pixels: float = 1.0) -> Any:
    """Give a Keras model its weights.

    Args:
        model: built, with or without ``inputs``.
        pixels: scale of the normal numbers that batch normalisation sees.

    Returns:
        The same model.
    """
    rng = np.random.default_rng(_SEED)
    for weight in model.weights:
        if "float" in str(weight.dtype):
            weight.assign(_values(str(weight.path), tuple(weight.shape), rng))
    _calibrate(model, pixels)
    return model


def _values(path: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    name = path.rpartition("/")[2]
    if "variance" in name:
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    if len(shape) < 2:
        # A shift of one keeps most of a ReLU open: else each normalised layer makes rounding errors a fifth larger
        # (Yang et al. 2019), and fifty of them drown the comparison.
        centre = 1.0 if any(word in name for word in ("gamma", "beta", "scale")) else 0.0
        return (centre + 0.1 * rng.standard_normal(shape)).astype("float32")
    transposed = "transpose" in path.lower() and "embedding" not in path
    fan_in = shape[-1] * math.prod(shape[:-2]) if transposed else _fan_in(name, shape)
    gain = 2.0 if len(shape) >= 4 else 1.0
    return (rng.standard_normal(shape) * math.sqrt(gain / fan_in)).astype("float32")


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    if "embedding" in name:
        return 1
    if "depthwise" in name:  # (height, width, channel, multiplier): each channel sees its own window
        return math.prod(shape[:-2])
    return math.prod(shape[:-1])


def _calibrate(model: Any, pixels: float) -> None:
    """Set the statistics of batch normalisation to those of one batch of normal numbers."""
    import keras

    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if not layers:
        return
    rng = np.random.default_rng(_SEED)
    shapes = [(SAMPLES, *(length or 32 for length in tensor.shape[1:])) for tensor in model.inputs]
    inputs = [keras.ops.convert_to_tensor((rng.standard_normal(s) * pixels).astype("float32")) for s in shapes]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(inputs[0] if len(inputs) == 1 else inputs, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
