"""Keras models with code of the user's own: layers beside a file, and factories."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError, ModelError
from edgekit.exporter.reference import LoadedSource, load_source, reference_of
from edgekit.exporter.source import SourceOptions
from edgekit.workbench import Workbench, workbench

#: A neighbour that `LAYERS` imports.
MATHS = """
from keras import ops

def squash(x):
    return x / (1.0 + ops.abs(x))
"""

LAYERS = """
import keras
from keras import ops
from maths import squash

@keras.saving.register_keras_serializable(package="mine")
class Scaled(keras.layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, x):
        return ops.matmul(x, self.kernel)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

class Gate(keras.layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.inner = Scaled(units)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return ops.sigmoid(self.inner(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}

def wavy(x):
    return squash(x) + ops.sin(x)

def relu(x):
    raise RuntimeError("a helper of the user's, not the activation")
"""

FUNCTIONS = """
import keras

class Ramp(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None, **options):
        return keras.ops.reshape(keras.ops.linspace(-1.0, 1.0, shape[0] * shape[1]), shape)
"""

FACTORIES = """
import keras
import numpy as np
from keras import layers

class Two(keras.Model):
    def __init__(self):
        super().__init__()
        self.left, self.right = layers.Dense(4), layers.Dense(4)

    def call(self, x, memory, training=False):
        return {"sum": self.left(x) + self.right(memory), "twice": 2 * self.left(x)}

def two():
    return Two()

two_example_inputs = {"x": np.zeros((1, 5), "float32"), "memory": np.zeros((1, 3), "float32")}

def unknown():
    return Two()

def half():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return keras.Sequential([keras.Input((4,), name="x"), layers.Dense(3)])
    finally:
        keras.config.set_dtype_policy("float32")

def nothing():
    pass

def broken():
    raise KeyError("no such weights")
"""

SAVE = """
import keras, sys
sys.path[:0] = [".", "elsewhere"]
from layers_of_mine import Gate, Scaled, wavy
from functions import Ramp
x = keras.Input((6,), name="x")
y = keras.layers.Dense(5, activation=wavy, kernel_initializer=Ramp())(Gate(8)(Scaled(7)(x)))
keras.Model(x, keras.layers.Dense(3, activation="relu", name="score")(y)).save("mine.keras")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    (folder / "elsewhere").mkdir()
    files = {"maths.py": MATHS, "layers_of_mine.py": LAYERS, "elsewhere/functions.py": FUNCTIONS, "zoo.py": FACTORIES}
    for name, text in files.items():
        (folder / name).write_text(text)
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SAVE], check=True, env=env, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


def _loaded(bench: Workbench, folder: Path, *files: str, backend: str = "jax") -> LoadedSource:
    options = SourceOptions(tuple(str(folder / name) for name in files))
    return load_source(bench, folder / "mine.keras", (), backend, options)


def _factory(bench: Workbench, folder: Path, name: str, *inputs: str) -> LoadedSource:
    return load_source(bench, f"{folder / 'zoo.py'}:{name}", inputs, "jax")


def _refusal(bench: Workbench, folder: Path, name: str) -> EdgekitError:
    with pytest.raises(ModelError) as caught:
        _factory(bench, folder, name)
    return caught.value


def test_layers_in_two_files_of_two_folders_with_a_neighbour(bench: Workbench, folder: Path) -> None:
    """Registered and not, nested with weights of their own, with a function and an initializer; ``relu`` is Keras'."""
    source = _loaded(bench, folder, "layers_of_mine.py", "elsewhere/functions.py")
    assert source.description.operators["Gate"] == 1
    outputs = reference_of(bench, source, None).arrays()
    assert np.asarray(outputs["score"]).std(axis=0).mean() > 0.01


def test_a_file_that_lacks_a_class_is_told_from_one_that_has_it(bench: Workbench, folder: Path) -> None:
    with pytest.raises(ModelError) as caught:
        _loaded(bench, folder, "layers_of_mine.py")
    assert caught.value.code == "custom-layer"
    assert caught.value.received == "Ramp"
    assert caught.value.hint == "Name the file that defines it: --custom-objects functions.py"


def test_a_model_of_several_arguments_keeps_names_and_order(bench: Workbench, folder: Path) -> None:
    found = _factory(bench, folder, "two").signature
    assert [str(spec) for spec in found.inputs] == ["x=?x5:float32", "memory=?x3:float32"]
    assert [str(spec) for spec in found.outputs] == ["sum=?x4:float32", "twice=?x4:float32"]


def test_inputs_that_nothing_tells_are_asked_for_and_taken(bench: Workbench, folder: Path) -> None:
    error = _refusal(bench, folder, "unknown")
    assert error.code == "model-without-signature"
    assert "--input x=?x28x28x1 --input memory=?x28x28x1" in error.hint
    found = _factory(bench, folder, "unknown", "x=?x5", "memory=?x3").signature
    assert [spec.shape for spec in found.inputs] == [(None, 5), (None, 3)]


def test_a_factory_with_another_precision_is_taken_as_float32(bench: Workbench, folder: Path) -> None:
    found = _factory(bench, folder, "half").description
    assert found.signature.outputs[0].dtype == "float32"
    assert "mixed_float16" in found.notes[0]


def test_factories_that_give_no_model_say_why(bench: Workbench, folder: Path) -> None:
    assert _refusal(bench, folder, "nothing").received == "NoneType"
    error = _refusal(bench, folder, "broken")
    assert error.code == "code-raised"
    assert "no such weights" in error.message
    assert "(zoo.py, line " in error.message
