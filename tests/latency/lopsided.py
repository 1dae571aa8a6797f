"""A trained network in which one convolution does more than ten times the arithmetic of all the rest.

Run as a script: writes ``lopsided.keras`` and ``data.npz`` into the folder given.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

#: Name of that convolution.
LARGE = "large"


def save(folder: Path) -> None:
    import keras
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.kron(digits.images / 16, np.ones((3, 3))).astype(np.float32)[..., None]
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 24, 1), name="image")
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="small")(image)
    x = keras.layers.Conv2D(128, 5, padding="same", activation="relu", name=LARGE)(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    scores = keras.layers.Dense(10, activation="softmax", name="scores")(x)
    model = keras.Model(image, scores, name="lopsided")
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy")
    model.fit(images, digits.target, batch_size=64, epochs=1, verbose=0)
    model.save(folder / "lopsided.keras")
    np.savez(folder / "data.npz", image=images[:64])


if __name__ == "__main__":
    save(Path(sys.argv[1]))
