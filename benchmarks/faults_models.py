"""The models of the fault benchmark, each made by a process of its own.

    python benchmarks/faults_models.py FOLDER NAME

``FOLDER/model.keras`` is a model that was trained here; those of `benchmarks/zoo` are named by their factory.
``FOLDER/data.npz`` (``x``) is what a user would give, where the model was trained on something. ``FOLDER/large.npz``
holds more inputs than edgekit sees. ``FOLDER/weights.npz`` holds what a fault has to be recognised by in a file:
``kernel/NAME`` ``(out, in, height, width)``, ``recurrent/NAME`` ``(state, gates * state)`` and the parts of every batch
normalisation, ``norm/NAME/{gamma,beta,mean,variance,epsilon}``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import quantization_models
from benchmarks.coverage_source import build, example_inputs
from benchmarks.quantization_models import Trained, digits, rows_of_digits
from benchmarks.zoo.registry import model as zoo_model

if TYPE_CHECKING:
    import keras

#: Inputs that a fault is looked for on, of models that were trained on nothing.
LARGE = 400

SEED = 20261

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Architecture:
    """One model of the benchmark.

    Attributes:
        name: of the model, that of a zoo model where it was not trained.
        kind: what stands in the table.
        framework: ``keras``, ``torch`` or ``jax``.
        backend: of Keras, for the reference; ``auto`` for the others.
        trained: whether `TRAINED` makes it; else the zoo does.
        quantized: precisions besides fp32 that are tried for it.
        mutated: precisions of the artifacts that faults are planted into.
    """

    name: str
    kind: str
    framework: str
    backend: str = "auto"
    trained: bool = False
    quantized: tuple[str, ...] = ("fp16", "bf16", "int8-weights")
    mutated: tuple[str, ...] = ("fp32",)


def colour_digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits at ``(16, 16, 3)``, each in a colour of its own, so that no two channels are alike."""
    images, labels = digits()
    rng = np.random.default_rng(0)
    tints = rng.uniform(0.2, 1.0, (len(images), 1, 1, 3)) * np.array([1.0, 0.7, 0.4])
    large = images.repeat(2, axis=1).repeat(2, axis=2) * tints
    return (large + rng.normal(0, 0.03, large.shape)).astype(np.float32), labels


def mobile() -> keras.Model:
    """Inverted bottlenecks with ReLU6, whose batch normalisations are wide enough to reach 6."""
    import keras
    from keras import layers

    def normal(x: Any, *, active: bool = True) -> Any:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, gamma_initializer=keras.initializers.Constant(3.0))(x)
        return layers.ReLU(6.0)(x) if active else x

    image = keras.Input((16, 16, 3), name="x")
    x = normal(layers.Conv2D(12, 3, 2, padding="same", use_bias=False)(image))
    for filters, stride in ((12, 1), (20, 2), (20, 1)):
        start = x
        x = normal(layers.Conv2D(2 * filters, 1, use_bias=False)(x))
        x = normal(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x))
        x = normal(layers.Conv2D(filters, 1, use_bias=False)(x), active=False)
        x = layers.Add()([start, x]) if stride == 1 else x
    return keras.Model(image, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def gated() -> keras.Model:
    """A GRU over the rows of an image."""
    import keras
    from keras import layers

    rows = keras.Input((8, 8), name="x")
    return keras.Model(rows, layers.Dense(10, name="logits")(layers.GRU(24, reset_after=True)(rows)))


TRAINED = quantization_models.MODELS | {
    "mobile": Trained("inverted bottlenecks, ReLU6", mobile, colour_digits, epochs=8),
    "gru": Trained("GRU", gated, rows_of_digits, epochs=15),
}

_EVERY = ("fp16", "bf16", "int8", "int8-dynamic", "int8-weights")
_BOTH = ("fp32", "int8")

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("conv", "convolutions, batch norm", "keras", "jax", trained=True, quantized=_EVERY, mutated=_BOTH),
    Architecture("mobile", "depthwise, ReLU6", "keras", "jax", trained=True, quantized=_EVERY, mutated=_BOTH),
    Architecture("recurrent", "LSTM", "keras", "jax", trained=True, quantized=_EVERY),
    Architecture("gru", "GRU", "keras", "torch", trained=True, quantized=_EVERY),
    Architecture("transformer", "vision transformer", "keras", "torch", trained=True, quantized=_EVERY, mutated=_BOTH),
    Architecture("keras-tabular", "several inputs and outputs", "keras", "jax"),
    Architecture("torch-resnet", "residual", "torch"),
    Architecture("torch-depthwise", "depthwise, group norm", "torch"),
    Architecture("torch-unet", "U-Net", "torch"),
    Architecture("torch-detector", "detector, two outputs", "torch"),
    Architecture("torch-transformer", "text transformer", "torch"),
    Architecture("jax-resnet", "residual", "jax"),
    Architecture("jax-transformer", "attention", "jax"),
    Architecture("jax-recurrent", "GRU by scan", "jax"),
)


def main() -> int:
    """Make one model."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    chosen = next(one for one in ARCHITECTURES if one.name == name)
    if chosen.trained:
        quantization_models.make(folder, TRAINED[name], 0)
        import keras

        made = keras.saving.load_model(folder / "model.keras")
        large = {"x": np.load(folder / "test.npz")["x"]}
    else:
        made = build(zoo_model(name))
        if chosen.framework == "keras":
            made.save(folder / "model.keras")
        large = _large(name, made)
    found = {"keras": _of_keras, "torch": _of_torch, "jax": _of_jax}[chosen.framework](made)
    np.savez(folder / "weights.npz", **found)  # type: ignore[arg-type] # arrays by name
    np.savez(folder / "large.npz", **large)
    return 0


def _large(name: str, made: Any) -> Arrays:
    """Inputs of a zoo model: other numbers than edgekit's."""
    zoo = zoo_model(name)
    if zoo.framework == "keras":
        specs = [(one._keras_history.operation.name, tuple(one.shape), str(one.dtype)) for one in made.inputs]
    else:
        specs = [(key, value.shape, str(value.dtype)) for key, value in example_inputs(zoo).items()]
    rng = np.random.default_rng(SEED)
    found = {}
    for key, shape, dtype in specs:
        whole = np.dtype(dtype).kind != "f"
        lengths = (LARGE, *shape[1:])
        values: np.ndarray = rng.integers(0, zoo.ids, lengths) if whole else rng.standard_normal(lengths) * zoo.pixels
        found[key] = values.astype(dtype)
    return found


def _of_keras(made: Any) -> Arrays:
    import keras

    found: Arrays = {}
    for layer in made._flatten_layers():
        weights = {weight.name: np.asarray(keras.ops.convert_to_numpy(weight)) for weight in layer.weights}
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            found[f"kernel/{layer.name}"] = np.transpose(weights["kernel"], (2, 3, 0, 1))
        elif isinstance(layer, keras.layers.Conv2D):
            found[f"kernel/{layer.name}"] = np.transpose(weights["kernel"], (3, 2, 0, 1))
        elif isinstance(layer, keras.layers.BatchNormalization):
            parts = (weights["gamma"], weights["beta"], weights["moving_mean"], weights["moving_variance"])
            found |= _norm(layer.name, parts, layer.epsilon)
        elif "recurrent_kernel" in weights:
            found[f"recurrent/{layer.name}"] = weights["recurrent_kernel"]
    return found


def _of_torch(made: Any) -> Arrays:
    from torch import nn

    found: Arrays = {}
    for name, part in made.named_modules():
        if isinstance(part, nn.Conv2d):
            found[f"kernel/{name}"] = part.weight.detach().numpy()
        elif isinstance(part, nn.BatchNorm2d):
            parts = tuple(one.detach().numpy() for one in (part.weight, part.bias, part.running_mean, part.running_var))
            found |= _norm(name, parts, part.eps)
    return found


def _of_jax(made: Any) -> Arrays:
    held: Mapping[str, Any] = inspect.getclosurevars(made).nonlocals
    return {f"recurrent/{name}": np.asarray(value) for name, value in held.items() if name == "around"}


def _norm(name: str, parts: tuple[np.ndarray, ...], epsilon: float) -> Arrays:
    keys = ("gamma", "beta", "mean", "variance", "epsilon")
    values = (*parts, np.float32(epsilon))
    return {f"norm/{name}/{key}": np.asarray(value) for key, value in zip(keys, values, strict=True)}


if __name__ == "__main__":
    sys.exit(main())
