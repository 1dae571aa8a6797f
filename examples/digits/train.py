"""Train a small convolutional classifier on scikit-learn's bundled digits and save what edgekit needs.

Writes ``digits.keras``, ``train.npz`` and ``test.npz`` (arrays ``image`` of shape (samples, 8, 8, 1) in 0..1 and
``label`` of shape (samples,)) into the folder given.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS = 20
BATCH = 64
TEST_SHARE = 0.4
LEAST_ACCURACY = 0.97


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Images ``(samples, 8, 8, 1)`` in 0..1 and labels ``(samples,)``, for training and for testing."""
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[..., None]
    labels = digits.target.astype(np.int64)
    split = train_test_split(images, labels, test_size=TEST_SHARE, random_state=0, stratify=labels)
    return (split[0], split[2]), (split[1], split[3])


def build_model() -> keras.Model:
    """Two convolutions with batch norm, one depthwise-separable block, global pooling: 19 thousand weights."""
    image = keras.Input((8, 8, 1), name="image")
    x = image
    for filters in (32, 48):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(64, 1, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="probs")(x), name="digits")


def train(epochs: int = EPOCHS) -> tuple[keras.Model, float]:
    """A trained model and its accuracy on the test images."""
    keras.utils.set_random_seed(0)
    (images, labels), (test_images, test_labels) = load_data()
    steps = epochs * -(-len(images) // BATCH)
    model = build_model()
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, batch_size=BATCH, epochs=epochs, verbose=0)
    return model, float(model.evaluate(test_images, test_labels, verbose=0)[1])


def save(folder: Path, epochs: int = EPOCHS) -> float:
    """Train and write everything into a folder. Returns the test accuracy."""
    folder.mkdir(parents=True, exist_ok=True)
    model, accuracy = train(epochs)
    model.save(folder / "digits.keras")
    for name, (images, labels) in zip(("train", "test"), load_data(), strict=True):
        np.savez(folder / f"{name}.npz", image=images, label=labels)
    return accuracy


def main() -> int:
    """Train into the folder given. Returns 1 when the model is too poor to prove anything."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    started = time.monotonic()
    accuracy = save(folder)
    print(f"test accuracy {accuracy:.2%} after {time.monotonic() - started:.0f} s, saved as {folder / 'digits.keras'}")
    if accuracy < LEAST_ACCURACY:
        print(f"that is under {LEAST_ACCURACY:.0%}: something is wrong with the training", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
