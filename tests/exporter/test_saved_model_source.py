"""TensorFlow SavedModels of a user's own: loaded, refused, run as the reference, and taken to OpenVINO and TFLite."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import ModelError, UsageError
from edgekit.exporter.describe import DescribeJob, Description
from edgekit.exporter.graph import HOPS, conversion_context
from edgekit.exporter.hops._saved_model import ARCHIVE, pack
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.jobs.executor import Executor
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob, TensorSpec
from tests.cli import command

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(util.find_spec("tensorflow") is None, reason="needs TensorFlow: make test-tensorflow"),
]

#: Writes the models into a folder: ``python -c … FOLDER``.
_MODELS = """
import os, sys
import keras
import numpy as np
import tensorflow as tf

os.chdir(sys.argv[1])
rng = np.random.default_rng(0)

def variable(*shape):
    return tf.Variable((rng.standard_normal(shape) / np.sqrt(shape[0])).astype("float32"))

class Model(tf.Module):
    def __init__(self):
        self.kernel, self.dense, self.table = variable(3, 3, 3, 8), variable(8, 4), variable(30, 8)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="image")])
    def cnn(self, image):
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(image, self.kernel, 2, "SAME")), 2, 2, "VALID")
        features = tf.reduce_mean(x, [1, 2])
        return {"score": tf.nn.softmax(features @ self.dense), "features": features}

    @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.int64), tf.TensorSpec((None, 5), tf.float32)])
    def text(self, words, at):
        return {"y": tf.reduce_mean(tf.gather(self.table, words) * at[..., None], 1) @ self.dense}

    @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.float32, name="x")])
    def reads(self, x):
        return {"y": x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.float32, name="x")])
    def python(self, x):
        return {"y": tf.py_function(lambda v: v * 2, [x], tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="examples")])
    def strings(self, examples):
        return {"y": tf.strings.length(examples)}

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def total(self, x):
        return {"y": tf.reduce_sum(x)}

class Starts(tf.Module):
    # Resources run code of the file when it is loaded.
    def __init__(self):
        tables = tf.lookup.TextFileInitializer("/etc/hostname", tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
                                               tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        self.table = tf.lookup.StaticHashTable(tables, -1)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def serve(self, x):
        return {"y": x + tf.cast(self.table.lookup(tf.constant("a")), tf.float32)}

model, starts = Model(), Starts()
for name in ("cnn", "text", "reads", "python", "strings", "total"):
    tf.saved_model.save(model, name, signatures=getattr(model, name))
tf.saved_model.save(starts, "starts", signatures=starts.serve)
tf.saved_model.save(model, "other", signatures={"predict": model.text})
tf.saved_model.save(model, "more", signatures={"serving_default": model.text, "extra": model.cnn})
tf.saved_model.save(model, "several", signatures={"a": model.text, "b": model.cnn})
layers = [keras.Input((12,), name="features"), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization()]
keras.Sequential([*layers, keras.layers.Dense(2)]).export("keras", verbose=False)
"""


class Bench:
    """One executor, and jobs on folders, packed as the exporter does it."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        self.folder = folder
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
        subprocess.run([sys.executable, "-c", _MODELS, str(folder)], check=True, env=env, timeout=300)

    def spec(self, model: str, loading: Loading | None = None) -> SourceSpec:
        archive = self.executor.scratch() / ARCHIVE
        pack(self.folder / model, archive)
        return SourceSpec("saved_model", (self.executor.add(archive),), loading or Loading())

    def describe(self, model: str, loading: Loading | None = None) -> Description:
        return self.executor.run(DescribeJob(self.spec(model, loading)), conversion_context("tensorflow"))

    def load(self, blobs: dict[str, Blob]) -> dict[str, np.ndarray]:
        return {name: np.load(self.executor.path(blob)) for name, blob in blobs.items()}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor, tmp_path_factory.mktemp("saved"))


SIZE = {"image": TensorSpec("image", (None, 16, 16, 3), "")}

#: Signatures, names in alphabetical order.
SIGNATURES = {
    "cnn": ("image=?x?x?x3:float32", "features=?x8:float32 score=?x4:float32"),
    "text": ("at=?x5:float32 words=?x5:int64", "y=?x4:float32"),
    "other": ("at=?x5:float32 words=?x5:int64", "y=?x4:float32"),
    "keras": ("features=?x12:float32", "output_0=?x2:float32"),
}


@pytest.mark.parametrize("model", SIGNATURES)
def test_a_folder_shows_its_signature(bench: Bench, model: str) -> None:
    found = bench.describe(model)
    assert (_said(found.signature.inputs), _said(found.signature.outputs)) == SIGNATURES[model]
    assert found.framework.startswith("tensorflow 2.")


def test_figures_of_a_folder(bench: Bench) -> None:
    found = bench.describe("cnn")
    assert found.parameters == 3 * 3 * 3 * 8 + 8 * 4
    assert found.weight_dtypes == ("float32",)
    assert found.operators["Conv2D"] == 1
    assert bench.describe("more").notes == ("its signature serving_default; others: extra",)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["openvino", "tflite"])
@pytest.mark.parametrize("model", SIGNATURES)
def test_a_folder_agrees_on_each_engine(bench: Bench, model: str, target: str) -> None:
    loading = Loading(pins=SIZE) if model == "cnn" else Loading()
    described = bench.describe(model, loading)
    assert described.state is not None
    kept = SourceSpec("saved_model", (described.state,), loading)
    observed = bench.executor.run(ObserveJob(kept, {}, samples=8), conversion_context("tensorflow"))
    again = bench.executor.run(
        ObserveJob(bench.spec(model, loading), observed.inputs), conversion_context("tensorflow")
    )
    expected = bench.load(again.outputs)
    hop = HOPS[f"saved_model>{target}"]
    job = ConvertJob(hop.name, kept.files, described.signature, loading=loading)
    files = bench.executor.run(job, conversion_context(hop.backend)).files
    run = RunJob(runtime_for(target).name, files, observed.inputs, (1, 3), OpenOptions())
    found = bench.executor.run(run, conversion_context(None))
    assert found.signature.inputs == described.signature.inputs
    assert [spec.name for spec in found.signature.outputs] == [spec.name for spec in described.signature.outputs]
    assert found.batches == (1, 3)
    for outputs in found.outputs:
        for name, array in bench.load(outputs).items():
            deviation = float(expected[name].std(axis=0).mean())
            assert deviation > 1e-4
            np.testing.assert_allclose(array, expected[name], atol=1e-3 * deviation, rtol=0)


@pytest.mark.slow
def test_the_command_takes_a_folder_to_both_targets(bench: Bench, tmp_path: Path) -> None:
    """What a user types, from the folder on the disk to artifacts that run on samples of the user's own."""
    kit = tmp_path / "kit"
    targets = ("--target", "openvino", "--target", "tflite")
    done = command.edgekit("export", bench.folder / "text", *targets, "-o", kit, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.document["verdict"] == "verified", done.document
    routes = {row["target"]: row["route"] for row in done.document["artifacts"]}
    assert routes == {target: f"saved_model>{target}" for target in ("openvino", "tflite")}
    rng = np.random.default_rng(3)
    inputs = {"at": rng.normal(size=(4, 5)).astype(np.float32), "words": rng.integers(0, 30, (4, 5))}
    one, other = (edgekit.load(kit, target=target).predict(inputs)["y"] for target in routes)
    assert one.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(other, one, atol=1e-4)


def test_words_are_drawn_from_the_whole_table(bench: Bench) -> None:
    observed = bench.executor.run(ObserveJob(bench.spec("text"), {}, samples=16), conversion_context("tensorflow"))
    assert 15 < bench.load(observed.inputs)["words"].max() < 30


@pytest.mark.parametrize(
    ("model", "operator"), [("reads", "ReadFile"), ("python", "EagerPyFunc"), ("starts", "InitializeTable")]
)
def test_files_and_python_are_refused_unless_trusted(bench: Bench, model: str, operator: str) -> None:
    """Every folder holds all these functions: what counts is what its signature, or loading it, calls."""
    with pytest.raises(ModelError) as caught:
        bench.describe(model)
    assert caught.value.code == "unsafe-operators"
    assert operator in str(caught.value)
    if model == "reads":
        assert _said(bench.describe(model, Loading(trust_code=True)).signature.outputs) == "y=?x5:float32"


@pytest.mark.parametrize(
    ("model", "code"),
    [("strings", "unsupported-dtype"), ("total", "output-without-batch"), ("several", "no-signature")],
)
def test_a_signature_that_cannot_be_used_is_refused(bench: Bench, model: str, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        bench.describe(model)
    assert caught.value.code == code


@pytest.mark.parametrize("shape", [(None, 16, 16), (None, 16, 16, 4)])
def test_a_pin_that_does_not_fit_is_refused(bench: Bench, shape: tuple[int | None, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        bench.describe("cnn", Loading(pins={"image": TensorSpec("image", shape, "")}))
    assert caught.value.code == "wrong-pin"


@pytest.mark.parametrize("damage", ["graph", "weights"])
def test_a_damaged_folder_is_refused(bench: Bench, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "damaged"
    with_weights = bench.executor.path(bench.spec("cnn").files[0])
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(with_weights), str(folder)], check=True)
    file = folder / ("saved_model.pb" if damage == "graph" else "variables/variables.index")
    file.write_bytes(file.read_bytes()[:40])
    archive = tmp_path / ARCHIVE
    pack(folder, archive)
    spec = SourceSpec("saved_model", (bench.executor.add(archive),), Loading())
    with pytest.raises(ModelError) as caught:
        bench.executor.run(DescribeJob(spec), conversion_context("tensorflow"))
    assert caught.value.code in ("not-a-saved-model", "unloadable-model")


def _said(specs: tuple[TensorSpec, ...]) -> str:
    return " ".join(map(str, specs))
