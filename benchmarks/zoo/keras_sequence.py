"""Keras models over time: recurrent layers, attention, text and sound."""

from __future__ import annotations

from typing import Any

from benchmarks.zoo.weights import seeded


def lstm() -> Any:
    """A forecast from the last steps."""
    import keras
    from keras import layers

    steps = keras.Input((16, 5), name="steps")
    return seeded(keras.Model(steps, layers.Dense(3, name="forecast")(layers.LSTM(12)(steps)), name="lstm"))


def gru() -> Any:
    """Two stacked layers; the first returns the sequence, the second its state too."""
    import keras
    from keras import layers

    steps = keras.Input((14, 4), name="steps")
    x = layers.GRU(10, return_sequences=True)(steps)
    x, state = layers.GRU(8, return_state=True)(x)
    return seeded(keras.Model(steps, {"forecast": layers.Dense(2)(x), "state": state}, name="gru"))


def bidirectional() -> Any:
    """A tag for every step, read in both directions."""
    import keras
    from keras import layers

    steps = keras.Input((12, 6), name="steps")
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(steps)
    x = layers.TimeDistributed(layers.Dense(8, activation="relu"))(x)
    return seeded(keras.Model(steps, layers.Dense(4, activation="softmax", name="tags")(x), name="bidirectional"))


def simple_rnn() -> Any:
    """The plain recurrent layer, with masked steps before it."""
    import keras
    from keras import layers

    ids = keras.Input((10,), dtype="int32", name="ids")
    x = layers.Embedding(30, 6, mask_zero=True)(ids)
    return seeded(keras.Model(ids, layers.Dense(2, name="scores")(layers.SimpleRNN(8)(x)), name="simple_rnn"))


def conv_lstm() -> Any:
    """A recurrent layer of convolutions over a short film."""
    import keras
    from keras import layers

    film = keras.Input((5, 12, 12, 1), name="film")
    x = layers.ConvLSTM2D(4, 3, padding="same")(film)
    return seeded(keras.Model(film, layers.Conv2D(1, 3, padding="same", name="frame")(x), name="conv_lstm"))


def text_attention() -> Any:
    """Token ids through learned positions and self-attention to a label."""
    import keras
    from keras import layers, ops

    ids = keras.Input((20,), dtype="int32", name="ids")
    x = layers.Embedding(80, 16)(ids) + layers.Embedding(20, 16)(ops.arange(20))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True))
    x = layers.LayerNormalization()(x + layers.Dense(16)(layers.Dense(32, activation="gelu")(x)))
    x = layers.GlobalAveragePooling1D()(x)
    return seeded(keras.Model(ids, layers.Dense(3, activation="softmax", name="label")(x), name="text_attention"))


def text_cnn() -> Any:
    """Token ids through convolutions of several widths."""
    import keras
    from keras import layers

    ids = keras.Input((24,), dtype="int32", name="ids")
    x = layers.Embedding(80, 8)(ids)
    found = [layers.GlobalMaxPooling1D()(layers.Conv1D(8, width, activation="relu")(x)) for width in (2, 3, 4)]
    return seeded(keras.Model(ids, layers.Dense(2, name="scores")(layers.concatenate(found)), name="text_cnn"))


def keyword_spotting() -> Any:
    """Separable one-dimensional convolutions over a spectrogram."""
    import keras
    from keras import layers

    spectrogram = keras.Input((49, 20), name="spectrogram")
    x = layers.Conv1D(16, 5, strides=2, padding="causal", activation="relu")(spectrogram)
    for rate in (1, 2):
        y = layers.SeparableConv1D(16, 3, padding="same", dilation_rate=rate)(x)
        x = layers.add([x, layers.ReLU()(layers.BatchNormalization()(y))])
    x = layers.GlobalAveragePooling1D()(x)
    return seeded(keras.Model(spectrogram, layers.Dense(8, activation="softmax", name="word")(x), name="keywords"))


def waveform() -> Any:
    """Sound as samples: long strided kernels, then a spectrogram computed inside."""
    import keras
    from keras import layers, ops

    samples = keras.Input((512,), name="samples")
    frames = layers.Conv1D(16, 64, strides=32, activation="linear", use_bias=False)(layers.Reshape((512, 1))(samples))
    energy = ops.log(ops.square(frames) + 1e-3)
    x = layers.Conv1D(8, 3, activation="relu")(layers.LayerNormalization()(energy))
    return seeded(keras.Model(samples, layers.Dense(4, name="event")(layers.Flatten()(x)), name="waveform"))
