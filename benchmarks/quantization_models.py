"""Train the models of the quantization benchmark: the job of one process.

    python benchmarks/quantization_models.py FOLDER NAME SEED

``FOLDER/model.keras`` is the model; its output are logits. ``FOLDER/data.npz`` (``x``, ``label``) is what a quantizer
gets: samples that were not trained on. ``FOLDER/test.npz`` (``x``, ``label``) takes part in nothing but the reported
figures; ``FOLDER/logits.npy`` is what the model says about it. Each seed tests on another third of the bundled data
set, so that three seeds cover it once and their samples may be pooled.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

#: Parts of the data set; the part of a seed is its test set.
FOLDS = 3

#: Share of what is not tested on that quantizers get; the rest trains the model.
DATA_SHARE = 0.4

BATCH = 64

#: How much larger the channel is that quantization cannot hold beside the others.
PLANTED = 1000.0

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model of the benchmark.

    Attributes:
        kind: what stands in the table.
        build: makes the untrained ``keras.Model``.
        data: samples and integer labels.
        epochs: of training.
        steps: how often a loop in its graph runs, which the files do not tell.
        spoil: changes the trained model in place.
    """

    kind: str
    build: Callable[[], Any]
    data: Callable[[], Arrays]
    epochs: int = 20
    steps: int = 1
    spoil: Callable[[Any], None] | None = None


def digits() -> Arrays:
    """Images ``(1797, 8, 8, 1)`` in 0..1 of scikit-learn's bundled digits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images / 16).astype(np.float32)[..., None], found.target.astype(np.int64)


def large_digits() -> Arrays:
    """The digits at ``(16, 16, 1)``, each pixel four times, with a little noise."""
    images, labels = digits()
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    noise = np.random.default_rng(0).normal(0, 0.05, large.shape)
    return (large + noise).astype(np.float32), labels


def rows_of_digits() -> Arrays:
    """The digits as eight steps of eight features."""
    images, labels = digits()
    return images[..., 0], labels


def breast_cancer() -> Arrays:
    """Thirty measured features of 569 samples in two classes, standardised."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    values = (found.data - found.data.mean(axis=0)) / found.data.std(axis=0)
    return values.astype(np.float32), found.target.astype(np.int64)


def conv() -> keras.Model:
    """Four convolutions with batch normalisation."""
    import keras
    from keras import layers

    image = x = keras.Input((8, 8, 1), name="x")
    for filters, stride in ((32, 1), (32, 1), (64, 2), (64, 1)):
        x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    return keras.Model(image, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def separable() -> keras.Model:
    """MobileNetV3's parts: depthwise and pointwise convolutions, squeeze and excite, ReLU and hard swish, residuals."""
    import keras
    from keras import layers

    def block(x: Any, filters: int, stride: int, activation: str, *, excite: bool) -> Any:
        start = x
        for layer in (
            layers.Conv2D(2 * filters, 1, use_bias=False),
            layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False),
        ):
            x = layers.Activation(activation)(layers.BatchNormalization(momentum=0.9)(layer(x)))
        if excite:
            scale = layers.GlobalAveragePooling2D(keepdims=True)(x)
            scale = layers.Conv2D(filters // 2, 1, activation="relu")(scale)
            x = layers.Multiply()([x, layers.Conv2D(2 * filters, 1, activation="hard_sigmoid")(scale)])
        x = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(filters, 1, use_bias=False)(x))
        return layers.Add()([start, x]) if stride == 1 and start.shape[-1] == filters else x

    image = keras.Input((16, 16, 1), name="x")
    x = layers.Conv2D(16, 3, 2, padding="same", use_bias=False)(image)
    x = layers.Activation("hard_swish")(layers.BatchNormalization(momentum=0.9)(x))
    x = block(x, 16, 1, "relu", excite=False)
    x = block(x, 32, 2, "hard_swish", excite=True)
    x = block(x, 32, 1, "hard_swish", excite=True)
    return keras.Model(image, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def transformer() -> keras.Model:
    """A vision transformer: sixteen patches, two blocks of four heads, 64 wide."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 1), name="x")
    x = layers.Reshape((16, 64))(layers.Conv2D(64, 2, 2)(image))
    x = layers.EinsumDense("bpc,cd->bpd", (16, 64), bias_axes="pd")(x)  # a bias per patch is its position
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 16)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(64)(layers.Dense(128, activation="gelu")(y))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(image, layers.Dense(10, name="logits")(x))


def recurrent() -> keras.Model:
    """One LSTM of 64 cells over the rows of an image."""
    import keras
    from keras import layers

    rows = keras.Input((8, 8), name="x")
    return keras.Model(rows, layers.Dense(10, name="logits")(layers.LSTM(64)(rows)))


def wide() -> keras.Model:
    """Three dense layers of 512: nearly all of the file are weights."""
    import keras
    from keras import layers

    values = x = keras.Input((30,), name="x")
    for _ in range(3):
        x = layers.Dropout(0.3)(layers.Dense(512, activation="relu")(x))
    return keras.Model(values, layers.Dense(2, name="logits")(x))


def plant(model: keras.Model) -> None:
    """Make one channel between the first two convolutions 1000 times larger, and its use as much smaller.

    The model computes what it did, but a range for the whole tensor leaves nothing of the other channels in 8 bits.
    """
    import keras

    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    gamma, beta, *rest = norm.get_weights()
    (kernel,) = convs[1].get_weights()
    channel = int(np.argsort(np.abs(gamma))[len(gamma) // 2])
    gamma[channel] *= PLANTED
    beta[channel] *= PLANTED
    kernel[:, :, channel] /= PLANTED
    norm.set_weights([gamma, beta, *rest])
    convs[1].set_weights([kernel])


def resnet() -> keras.Model:
    """ResNet-50 with random weights: its accuracy means nothing, its speed is that of a trained one."""
    import keras

    image = keras.Input((224, 224, 3), name="x")
    return keras.applications.ResNet50(weights=None, input_tensor=image, name="resnet50")


def photographs() -> Arrays:
    """Thirty-two generated images ``(224, 224, 3)`` of neighbouring pixels that are alike."""
    coarse = np.random.default_rng(0).uniform(-1, 1, (32, 14, 14, 3)).astype(np.float32)
    return coarse.repeat(16, axis=1).repeat(16, axis=2), np.arange(32)


MODELS = {
    "conv": Trained("convolutions with batch norm", conv, digits),
    "separable": Trained("depthwise-separable", separable, large_digits, epochs=30),
    "transformer": Trained("vision transformer", transformer, digits, epochs=40),
    "recurrent": Trained("LSTM", recurrent, rows_of_digits, epochs=30, steps=8),
    "wide": Trained("wide dense layers", wide, breast_cancer, epochs=30),
}

#: What only accuracy control can mend.
SPOILED = {"planted": Trained("convolutions, one channel 1000 times larger", conv, digits, spoil=plant)}

#: Timed, not judged: nobody trains it here.
UNTRAINED = {"resnet50": Trained("ResNet-50-shaped, random weights", resnet, photographs, epochs=0)}

ALL = MODELS | SPOILED | UNTRAINED


def main() -> int:
    """Train one model and write its files."""
    folder, name, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    accuracy = make(folder, ALL[name], seed)
    print(json.dumps({"accuracy": accuracy}))
    return 0


def make(folder: Path, chosen: Trained, seed: int) -> float:
    """Train, save, and write what the model computes. Returns the accuracy on the test samples."""
    import keras

    keras.utils.set_random_seed(seed)
    values, labels = chosen.data()
    order = np.random.default_rng(0).permutation(len(values))  # the same for each seed: their test sets are disjoint
    test = order[seed % FOLDS :: FOLDS]
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(order, test))
    given, trained = np.split(rest, [round(DATA_SHARE * len(rest))])
    model = chosen.build()
    if chosen.epochs:
        steps = chosen.epochs * -(-len(trained) // BATCH)
        schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(schedule), loss)
        model.fit(values[trained], labels[trained], batch_size=BATCH, epochs=chosen.epochs, verbose=0)
    if chosen.spoil is not None:
        chosen.spoil(model)
    model.save(folder / "model.keras")
    logits = np.asarray(model.predict(values[test], verbose=0))
    np.savez(folder / "data.npz", x=values[given], label=labels[given])
    np.savez(folder / "test.npz", x=values[test], label=labels[test])
    np.save(folder / "logits.npy", logits)
    return float((logits.argmax(axis=1) == labels[test]).mean())


if __name__ == "__main__":
    sys.exit(main())
