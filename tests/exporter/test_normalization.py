"""Folding batch normalisation changes no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgekit.exporter.hops._normalization import fold_normalization
from edgekit.exporter.sources.keras_ import KerasModel
from edgekit.types import Signature


def _after_convolution(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization()(layers.Conv2D(4, 3)(x))


def _after_convolution_without_bias(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization(center=False)(layers.Conv2D(4, 3, use_bias=False)(x))


def _after_depthwise(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))


def _after_dense(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization(scale=False)(layers.Dense(5)(x))


def _after_activation(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))


def _beside_another_use(x: Any, layers: Any) -> Any:
    y = layers.Conv2D(4, 3)(x)
    return layers.add([y, layers.BatchNormalization()(y)])


def _of_a_shared_layer(x: Any, layers: Any) -> Any:
    shared = layers.Conv2D(3, 3, padding="same")
    return layers.BatchNormalization()(shared(shared(x)))


def _on_another_axis(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(x))


def _twice(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization()(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))


def _of_an_inner_output(x: Any, layers: Any) -> Any:
    import keras

    inside = keras.Input((6, 6, 3))
    y = layers.Conv2D(4, 3)(inside)
    return layers.add(keras.Model(inside, [y, layers.BatchNormalization()(y)])(x))


def _of_the_batch(x: Any, layers: Any) -> Any:
    return layers.BatchNormalization()(layers.Conv2D(4, 3)(x), training=True)


#: Whether the convolution's own weights change.
CASES = {
    _after_convolution: True,
    _after_convolution_without_bias: True,
    _after_depthwise: True,
    _after_dense: True,
    _after_activation: False,
    _beside_another_use: False,
    _of_a_shared_layer: False,
    _on_another_axis: False,
    _twice: True,
    _of_an_inner_output: False,
    _of_the_batch: False,
}


@pytest.mark.parametrize(("build", "into_weights"), CASES.items(), ids=[case.__name__ for case in CASES])
def test_outputs_stay(build: Callable[[Any, Any], Any], into_weights: bool) -> None:
    import keras

    image = keras.Input((6, 6, 3))
    model = keras.Model(image, build(image, keras.layers))
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    x = rng.standard_normal((4, 6, 6, 3)).astype(np.float32)
    before = np.asarray(model(x, training=False))
    kernel = np.asarray(model.trainable_weights[0].value)
    fold_normalization(KerasModel(model, Signature((), ()), ""))
    np.testing.assert_allclose(np.asarray(model(x, training=False)), before, rtol=1e-4, atol=1e-5 * before.std())
    assert (not np.array_equal(model.trainable_weights[0].value, kernel)) == into_weights
