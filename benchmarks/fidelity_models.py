"""The models of the fidelity benchmark: some 20 microseconds, one millisecond and ten of them on one x86-64 core.

Their weights are random: the speed of float32 arithmetic does not depend on them, as long as none is denormal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def micro() -> keras.Model:
    """A classifier of 20x20 images."""
    return _convolutional(20, 1, (8, 16))


def milli() -> keras.Model:
    """A classifier of 128x128 images."""
    return _convolutional(128, 3, (16, 32, 64, 64))


def deci() -> keras.Model:
    """A classifier of 144x144 images, with more channels."""
    return _convolutional(144, 3, (32, 64, 128, 128))


def _convolutional(size: int, channels: int, filters: tuple[int, ...]) -> keras.Model:
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((size, size, channels), name="image")
    x = inputs
    for place, count in enumerate(filters):
        x = keras.layers.Conv2D(count, 3, strides=2 if place else 1, padding="same")(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="scores")(x))
