"""Keras models that need the user's own classes: no file holds those."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo.weights import seeded


@keras.saving.register_keras_serializable("zoo")
class Gated(layers.Layer):
    """A gated linear unit, written with ``keras.ops``."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 2 * self.units), initializer="glorot_uniform", name="kernel")

    def call(self, x: Any) -> Any:
        value, gate = ops.split(ops.matmul(x, self.kernel), 2, axis=-1)
        return value * ops.sigmoid(gate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("zoo")
class Residual(keras.Model):
    """A subclassed model: it does not say what its inputs are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.first = layers.Conv2D(8, 3, padding="same", activation="relu")
        self.second = layers.Conv2D(8, 3, padding="same")
        self.head = layers.Dense(4)

    def call(self, image: Any) -> Any:
        x = self.first(image)
        x = ops.relu(x + self.second(x))
        return self.head(ops.mean(x, axis=(1, 2)))


def custom_layer() -> Any:
    """A functional model with a layer of the user's own."""
    features = keras.Input((10,), name="features")
    x = Gated(12)(features)
    return seeded(keras.Model(features, layers.Dense(3, name="target")(Gated(8)(x)), name="custom_layer"))


def subclassed() -> Any:
    """A model written as a class, called once before it is handed over."""
    model = Residual()
    model(np.zeros((1, 16, 16, 3), "float32"))
    return seeded(model)


subclassed_example_inputs = {"image": np.zeros((1, 16, 16, 3), "float32")}
