"""Small Keras models, one per thing that converters get wrong: ``python -m tests.exporter.zoo FOLDER NAME...``.

Building one imports Keras in the process's backend, so tests build them in a process of their own (`build`). Weights
are random but seeded, and scaled so that outputs vary: the bias and the statistics of normalisation too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def cnn() -> Any:
    """A classifier of 8x8 digits: normalisation, pooling, a global pool, softmax."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(32, 3, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x))


def mlp() -> Any:
    """Sequential, one vector in, one vector out."""
    import keras
    from keras import layers

    return keras.Sequential(
        [keras.Input((12,), name="features"), layers.Dense(16, activation="gelu"), layers.Dense(3, name="target")]
    )


def depthwise() -> Any:
    """Separable convolutions with strides and a residual."""
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(image)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.Activation("hard_swish")(layers.BatchNormalization()(y))
    x = layers.add([x, layers.Conv2D(8, 1)(y)])
    x = layers.SeparableConv2D(12, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(image, layers.Dense(5, name="score")(layers.Flatten()(x)))


def lstm() -> Any:
    """One recurrent layer over a fixed number of steps."""
    import keras
    from keras import layers

    steps = keras.Input((12, 4), name="steps")
    return keras.Model(steps, layers.Dense(2, name="forecast")(layers.LSTM(8)(steps)))


def gru() -> Any:
    """A bidirectional recurrent layer that returns the sequence, then another."""
    import keras
    from keras import layers

    steps = keras.Input((10, 3), name="steps")
    x = layers.Bidirectional(layers.GRU(6, return_sequences=True))(steps)
    return keras.Model(steps, layers.Dense(2, name="forecast")(layers.GRU(5)(x)))


def simple_rnn() -> Any:
    """A recurrent layer that asks for the batch to make its first state."""
    import keras
    from keras import layers

    steps = keras.Input((6, 4), name="steps")
    return keras.Model(steps, layers.Dense(2, name="score")(layers.SimpleRNN(8)(steps)))


def text() -> Any:
    """Token ids through an embedding and self-attention."""
    import keras
    from keras import layers

    ids = keras.Input((16,), dtype="int32", name="ids")
    x = layers.Embedding(50, 8)(ids)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    return keras.Model(ids, layers.Dense(3, activation="softmax", name="label")(layers.GlobalAveragePooling1D()(x)))


def two() -> Any:
    """Two named inputs of different rank, two named outputs in a dictionary, an average pool."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 1), name="image")
    extra = keras.Input((5,), name="extra")
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.Flatten()(layers.AveragePooling2D(2, padding="same")(x))
    x = layers.concatenate([x, layers.Dense(4, activation="tanh")(extra)])
    outputs = {"score": layers.Dense(3, activation="softmax")(x), "height": layers.Dense(1)(x)}
    return keras.Model({"image": image, "extra": extra}, outputs)


def generator() -> Any:
    """A noise vector to an image: transposed convolutions and reshape."""
    import keras
    from keras import layers

    noise = keras.Input((10,), name="noise")
    x = layers.Reshape((4, 4, 8))(layers.Dense(4 * 4 * 8)(noise))
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(layers.Conv2DTranspose(8, 4, strides=2, padding="same")(x)))
    x = layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh")(x)
    return keras.Model(noise, layers.Rescaling(0.5, 0.5, name="picture")(x))


def anysize() -> Any:
    """Free height and width, a strided ``same`` convolution whose padding depends on them."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    return keras.Model(image, layers.Dense(4, name="score")(layers.GlobalAveragePooling2D()(x)))


def mobile() -> Any:
    """Inverted residuals with squeeze and excitation, as in a MobileNetV3."""
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.Activation("hard_swish")(layers.BatchNormalization()(x))
    for width, strides in ((8, 1), (12, 2), (12, 1)):
        y = layers.Conv2D(24, 1, use_bias=False)(x)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(24, 1, activation="hard_sigmoid")(layers.Conv2D(6, 1, activation="relu")(gate))
        y = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(layers.multiply([y, gate])))
        x = layers.add([x, y]) if y.shape == x.shape else y
    return keras.Model(image, layers.Dense(6, name="logits")(layers.GlobalAveragePooling2D()(x)))


def classes() -> Any:
    """A classifier that returns the class itself, an integer."""
    import keras
    from keras import layers

    features = keras.Input((8,), name="features")
    x = layers.Dense(16, activation="relu")(features)
    return keras.Model(features, keras.ops.argmax(layers.Dense(5)(x), axis=-1))


def resized() -> Any:
    """Resizes inside, which JAX cannot trace for any batch."""
    import keras
    from keras import layers

    image = keras.Input((10, 12, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(layers.Resizing(8, 8)(image))
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    return keras.Model(image, layers.Dense(3, name="score")(layers.Flatten()(x)))


def masked() -> Any:
    """Attention that leaves out padding: the mask is made of the ids, tiled over the queries."""
    import keras
    from keras import layers, ops

    ids = keras.Input((6,), dtype="int32", name="ids")
    x = layers.Embedding(20, 8)(ids)
    seen = ops.tile(ops.expand_dims(ops.not_equal(ids, 0), 1), (1, 6, 1))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x, attention_mask=seen))
    return keras.Model(ids, layers.Dense(3, name="score")(layers.Flatten()(x)))


def volume() -> Any:
    """Convolution, pooling and normalisation over three dimensions."""
    import keras
    from keras import layers

    scan = keras.Input((8, 8, 8, 1), name="scan")
    x = layers.BatchNormalization()(layers.Conv3D(4, 3, strides=(1, 2, 1), padding="same", activation="relu")(scan))
    x = layers.Conv3DTranspose(3, 2, strides=2)(layers.MaxPooling3D()(x))
    return keras.Model(scan, layers.Dense(3, name="finding")(layers.Flatten()(x)))


MODELS: dict[str, Callable[[], Any]] = {
    model.__name__: model
    for model in (
        *(cnn, mlp, depthwise, lstm, gru, text, two, generator, anysize, mobile, classes, resized, masked, volume),
        simple_rnn,
    )
}


def build(folder: Path, *names: str) -> Path:
    """Write models of the zoo as ``folder/NAME.keras``, in a process of its own."""
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.exporter.zoo", str(folder), *names]
    subprocess.run(command, check=True, env=env, cwd=Path(__file__).parents[2])
    return folder


def _save(name: str, path: Path) -> None:
    import keras

    keras.utils.set_random_seed(7)
    model = MODELS[name]()
    rng = np.random.default_rng(7)
    for weight in model.weights:
        if len(weight.shape) < 2:  # biases and statistics, else all zero or one
            weight.assign(rng.uniform(0.5, 1.5, weight.shape).astype(weight.dtype))
        else:
            weight.assign(np.asarray(weight) * 1.5)
    model.save(path)


if __name__ == "__main__":
    for _name in sys.argv[2:]:
        _save(_name, Path(sys.argv[1], f"{_name}.keras"))
