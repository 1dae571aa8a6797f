"""Small Keras models with free sizes, and with inputs and outputs of every form.

``python -m tests.exporter.shapes_zoo FOLDER NAME...`` writes them, with weights as in `tests.exporter.zoo`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.exporter import zoo


def upsample() -> Any:
    """Strides and upsampling: an odd height comes out one larger than it went in."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3), name="image")
    x = layers.UpSampling2D(2)(layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image))
    return keras.Model(image, layers.Conv2D(2, 3, padding="same", name="map")(x))


def unet() -> Any:
    """Two reductions and skip connections: it takes multiples of four only."""
    import keras
    from keras import layers

    def convolution(tensor: Any) -> Any:
        return layers.Conv2D(8, 3, padding="same", activation="relu")(tensor)

    image = keras.Input((None, None, 3), name="image")
    first = convolution(image)
    second = convolution(layers.MaxPooling2D()(first))
    x = convolution(layers.MaxPooling2D()(second))
    x = layers.concatenate([layers.Conv2DTranspose(8, 2, strides=2, padding="same")(x), second])
    x = layers.concatenate([layers.Conv2DTranspose(8, 2, strides=2, padding="same")(x), first])
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x))


def attention() -> Any:
    """Any number of token ids through self-attention."""
    import keras
    from keras import layers

    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(50, 8)(ids)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    return keras.Model(ids, layers.Dense(3, activation="softmax", name="label")(layers.GlobalAveragePooling1D()(x)))


def recurrent() -> Any:
    """Any number of steps through an LSTM, and the whole sequence out of a GRU."""
    import keras
    from keras import layers

    steps = keras.Input((None, 4), name="steps")
    last = layers.Dense(2, name="forecast")(layers.LSTM(8)(steps))
    return keras.Model(steps, [last, layers.GRU(3, return_sequences=True, name="states")(steps)])


def wave() -> Any:
    """Strided, dilated and causal convolutions over any number of samples."""
    import keras
    from keras import layers

    signal = keras.Input((None, 4), name="signal")
    x = layers.Conv1D(8, 5, strides=2, padding="same", activation="relu")(signal)
    x = layers.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    return keras.Model(signal, layers.Dense(2, name="level")(layers.GlobalMaxPooling1D()(x)))


def masked() -> Any:
    """Two inputs that must have the same free length."""
    import keras
    from keras import layers

    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = keras.Input((None,), name="mask")
    x = layers.Embedding(50, 8)(ids) * keras.ops.expand_dims(mask, -1)
    x = layers.Dense(8, activation="tanh")(x)
    return keras.Model({"ids": ids, "mask": mask}, layers.Dense(3, name="total")(keras.ops.sum(x, axis=1)))


def pair() -> Any:
    """Two inputs of the same shape that do not do the same."""
    import keras
    from keras import layers

    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    return keras.Model([left, right], layers.Dense(3, name="score")(layers.subtract([left, right])))


def square() -> Any:
    """Height and width of the same length, which do not do the same."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 1), name="image")
    return keras.Model(image, layers.Dense(3, name="score")(layers.Flatten()(image)))


def in_dict() -> Any:
    """Dictionaries in and out, whose keys are in no alphabetical order and no names of layers."""
    import keras
    from keras import layers

    zeta, alpha = keras.Input((3,), name="zeta"), keras.Input((4,), name="alpha")
    x = layers.concatenate([zeta, layers.Dense(3, activation="tanh")(alpha)])
    return keras.Model({"zeta": zeta, "alpha": alpha}, {"two": layers.Dense(2)(x), "one": layers.Dense(1)(x)})


def in_list() -> Any:
    """A list in, a tuple out, in an order that is not alphabetical."""
    import keras
    from keras import layers

    beta, alpha = keras.Input((3,), name="beta"), keras.Input((4,), name="alpha")
    x = layers.concatenate([beta, layers.Dense(3, activation="tanh")(alpha)])
    return keras.Model([beta, alpha], (layers.Dense(2, name="second")(x), layers.Dense(1, name="first")(x)))


def long_ids() -> Any:
    """Token ids of 64 bits in, and the number of the best class out, of 64 bits too."""
    import keras
    from keras import layers

    ids = keras.Input((6,), dtype="int64", name="ids")
    x = layers.Dense(5, name="score")(layers.Flatten()(layers.Embedding(50, 4)(ids)))
    return keras.Model(ids, {"score": x, "best": keras.ops.cast(keras.ops.argmax(x, axis=-1), "int64")})


MODELS: tuple[Callable[[], Any], ...] = (
    *(upsample, unet, attention, recurrent, wave, masked),
    *(pair, square, in_dict, in_list, long_ids),
)


def build(folder: Path, *names: str) -> Path:
    """Write models as ``folder/NAME.keras``, in a process of its own."""
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.exporter.shapes_zoo", str(folder), *names]
    subprocess.run(command, check=True, env=env, cwd=Path(__file__).parents[2])
    return folder


if __name__ == "__main__":
    zoo.MODELS.update({model.__name__: model for model in MODELS})
    for _name in sys.argv[2:]:
        zoo._save(_name, Path(sys.argv[1], f"{_name}.keras"))
