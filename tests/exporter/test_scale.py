"""A source's own normalising layers tell whether samples are scaled as in training, in Keras and torch."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgekit.exporter.graph import conversion_context
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.scale import Scale, ScaleJob
from edgekit.jobs.code import Code, code_environment
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import blob_of

SOURCES = '''
import numpy as np

rng = np.random.default_rng(0)
pixels = rng.random((256, 8, 8, 3), np.float32)


def keras_batchnorm():
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3), name="image")
    inner = keras.Sequential([keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization(momentum=0.5)], name="stem")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(inner(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    model.compile(loss="mse", optimizer="sgd")
    model.fit(pixels, np.zeros((256, 4)), epochs=4, verbose=0)
    return model


def keras_rescaled():
    """The same for pixels 0 to 255, which it divides itself."""
    import keras

    inner = keras_batchnorm()
    inputs = keras.Input((8, 8, 3), name="image")
    return keras.Model(inputs, inner(keras.layers.Rescaling(1 / 255)(inputs)))


def keras_normalized():
    import keras

    layer = keras.layers.Normalization()
    layer.adapt(pixels)
    inputs = keras.Input((8, 8, 3), name="image")
    return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(layer(inputs))))


def keras_untrained():
    import keras

    inputs = keras.Input((8, 8, 3), name="image")
    return keras.Model(inputs, keras.layers.BatchNormalization()(inputs))


def torch_batchnorm():
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8, momentum=0.5), torch.nn.ReLU()),
        torch.nn.Flatten(),
    )
    for _ in range(30):
        model(torch.from_numpy(np.moveaxis(pixels, -1, 1).copy()))
    return model.eval()


torch_batchnorm_example_inputs = (np.zeros((1, 3, 8, 8), np.float32),)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    (folder / "sources.py").write_text(SOURCES)
    return folder


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def looked_at(factory: str, factor: float, folder: Path, executor: Executor) -> Scale:
    """What a source says about pixels from 0 to ``factor``."""
    path = folder / "sources.py"
    pixels = np.random.default_rng(1).random((64, 8, 8, 3), np.float32) * np.float32(factor)
    framework = factory.partition("_")[0]
    if framework == "torch":
        pixels = np.moveaxis(pixels, -1, 1).copy()
    name = "input" if framework == "torch" else "image"
    np.save(folder / "image.npy", pixels)
    loading = Loading(Code(f"sources.py:{factory}", blob_of(path).sha256))
    job = ScaleJob(SourceSpec("code", (), loading), {name: executor.add(folder / "image.npy")})
    context = conversion_context("torch" if framework == "torch" else "jax", code_environment([path]))
    return executor.run(job, context)


needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "right", "layer"),
    [
        ("keras_batchnorm", 1, "stem/batch_normalization"),
        ("keras_rescaled", 255, "stem/batch_normalization"),
        ("keras_normalized", 1, "normalization"),
        pytest.param("torch_batchnorm", 1, "0/1", marks=needs_torch),
    ],
)
def test_the_first_layer_that_normalises_tells(
    factory: str, right: float, layer: str, folder: Path, executor: Executor
) -> None:
    fits = looked_at(factory, right, folder, executor)
    assert layer in fits.layer
    assert 0.7 < fits.spread < 1.4
    for factor in (255.0, 1 / 255):
        wrong = looked_at(factory, right * factor, folder, executor)
        assert wrong.spread == pytest.approx(factor * fits.spread, rel=0.1)


@pytest.mark.slow
def test_a_layer_that_was_never_trained_tells_nothing(folder: Path, executor: Executor) -> None:
    assert looked_at("keras_untrained", 255.0, folder, executor) == Scale()
