"""Keras models of tables and of unusual build: several inputs, shared layers, integer outputs."""

from __future__ import annotations

from typing import Any

from benchmarks.zoo.weights import seeded


def mlp() -> Any:
    """One vector in, one out."""
    import keras
    from keras import layers

    return seeded(
        keras.Sequential(
            [
                keras.Input((12,), name="features"),
                layers.Dense(24, activation="selu"),
                layers.Dense(16, activation="gelu"),
                layers.Dense(3, name="target"),
            ]
        )
    )


def tabular() -> Any:
    """Numbers that are normalised inside, a category and a flag; two outputs."""
    import keras
    from keras import layers

    numbers = keras.Input((6,), name="numbers")
    category = keras.Input((1,), dtype="int32", name="category")
    flag = keras.Input((1,), name="flag")
    scaled = layers.Normalization(mean=[0.5] * 6, variance=[2.0] * 6)(numbers)
    embedded = layers.Flatten()(layers.Embedding(12, 4)(category))
    x = layers.Dense(16, activation="relu")(layers.concatenate([scaled, embedded, flag]))
    outputs = {"price": layers.Dense(1)(x), "risk": layers.Dense(3, activation="softmax")(x)}
    return seeded(keras.Model({"numbers": numbers, "category": category, "flag": flag}, outputs, name="tabular"))


def shared_layers() -> Any:
    """Siamese: one encoder for both inputs, and the distance between what it finds."""
    import keras
    from keras import layers, ops

    left, right = keras.Input((16, 16, 1), name="left"), keras.Input((16, 16, 1), name="right")
    encoder = keras.Sequential(
        [layers.Conv2D(8, 3, strides=2, activation="relu"), layers.Flatten(), layers.Dense(8, activation="tanh")]
    )
    difference = layers.subtract([encoder(left), encoder(right)])
    distance = ops.sqrt(ops.sum(ops.square(difference), axis=-1, keepdims=True) + 1e-3)
    return seeded(keras.Model([left, right], layers.Dense(1, name="same")(distance), name="shared_layers"))


def wide_and_deep() -> Any:
    """A linear part beside a deep one, with crossed features and layers that only move numbers."""
    import keras
    from keras import layers

    features = keras.Input((8,), name="features")
    deep = layers.Dense(16, activation="elu")(features)
    deep = layers.Dense(8, activation="softplus")(deep)
    crossed = layers.Dot(axes=-1, normalize=True)([layers.RepeatVector(2)(features), layers.RepeatVector(2)(features)])
    moved = layers.Permute((2, 1))(layers.Reshape((2, 4))(features))
    x = layers.concatenate([features, deep, layers.Flatten()(crossed), layers.Flatten()(moved)])
    return seeded(keras.Model(features, layers.Dense(2, name="score")(x), name="wide_and_deep"))


def classes() -> Any:
    """Returns the class itself, an integer, and its score."""
    import keras
    from keras import layers, ops

    features = keras.Input((8,), name="features")
    scores = layers.Dense(5)(layers.Dense(16, activation="relu")(features))
    outputs = {"label": ops.cast(ops.argmax(scores, axis=-1), "int32"), "score": ops.max(scores, axis=-1)}
    return seeded(keras.Model(features, outputs, name="classes"))
