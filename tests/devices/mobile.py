"""A network of MobileNetV3's kind, trained on scikit-learn's digits, in a kit with INT8 artifacts.

``python tests/devices/mobile.py FOLDER`` trains it in a process of its own; `mobile_kit` makes the kit with the real
commands. OpenVINO's INT8 form of it runs on x86 and on Arm cores with the 8-bit dot product, and on no others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.cli.command import edgekit

#: Targets with an INT8 form: one engine that cannot run it everywhere, and one that can. ONNX is there in float.
QUANTIZED = ("openvino", "tflite")

#: Until it is sure of its answers, so that rounding to 8 bits changes few of them.
EPOCHS, BATCH = 6, 64


def mobile_kit(folder: Path) -> Path:
    """Train, export and quantize; the kit's folder."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, __file__, str(folder)], check=True, env=environment)
    data = ("--data", "train.npz", "--labels", "label", "--quiet")
    quantized = [word for target in QUANTIZED for word in ("--target", target)]
    once = ("--trials", "1", "--no-pays")
    for words in (("export", "mobile.keras", "-o", "kit"), ("quantize", "kit", *quantized, *once)):
        done = edgekit(*words, *data, cwd=folder)
        assert done.code == 0, done.out + done.err
    return folder / "kit"


def _images() -> tuple[np.ndarray, np.ndarray]:
    """Images ``(1797, 16, 16, 1)`` between 0 and 1, float32, and their digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.kron(bunch.images / 16, np.ones((1, 2, 2)))[..., None].astype(np.float32), bunch.target


def _model() -> object:
    """Inverted residuals with squeeze and excitation."""
    import keras
    from keras import layers

    image = keras.Input((16, 16, 1), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.Activation("hard_swish")(layers.BatchNormalization(momentum=0.8)(x))
    for width, strides in ((16, 1), (24, 2)):
        y = layers.Conv2D(48, 1, use_bias=False)(x)
        y = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(y))
        y = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(y))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(48, 1, activation="hard_sigmoid")(layers.Conv2D(12, 1, activation="relu")(gate))
        y = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(width, 1, use_bias=False)(layers.multiply([y, gate])))
        x = layers.add([x, y]) if y.shape == x.shape else y
    return keras.Model(image, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def _train(folder: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    images, digits = _images()
    whole = len(images) // BATCH * BATCH  # a smaller last batch would be compiled too
    model = _model()
    assert isinstance(model, keras.Model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, EPOCHS * whole // BATCH)), loss)
    model.fit(images[:whole], digits[:whole], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    model.save(folder / "mobile.keras")
    np.savez(folder / "train.npz", image=images[:600], label=digits[:600])


if __name__ == "__main__":
    _train(Path(sys.argv[1]))
