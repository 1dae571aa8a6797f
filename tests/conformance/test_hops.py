"""Every route from Keras to every target, on real converters and real engines."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import ClassVar, TypeVar, cast

import numpy as np
import pytest

import edgekit
from edgekit.errors import ModelError
from edgekit.exporter.describe import DescribeJob
from edgekit.exporter.graph import HOPS, conversion_context
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.jobs.executor import Executor
from edgekit.types import Blob
from tests.conformance.hop_suite import SAMPLES, Bench, HopSuite

pytestmark = pytest.mark.xdist_group("hops")  # one bench for all: workers and conversions are shared

PINNED = "a traced size would be baked in, so a free one is refused"

SYMBOLIC = "JAX cannot decide the padding of a strided convolution for a symbolic size"

T = TypeVar("T")


def needs_tensorflow(test: T) -> T:
    """Mark what the ordinary environment, which has no TensorFlow, skips."""
    absent = pytest.mark.skipif(util.find_spec("tensorflow") is None, reason="needs TensorFlow: make test-tensorflow")
    return cast(T, pytest.mark.tensorflow(absent(test)))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor, tmp_path_factory.mktemp("zoo"))


class TestKerasJaxToOnnx(HopSuite):
    target = "onnx"
    route = "keras@jax>onnx"
    gaps: ClassVar = {
        "test_keeps_free_height_and_width": "JAX cannot decide the padding of a strided convolution symbolically"
    }


@pytest.mark.slow
class TestKerasTorchToOnnx(HopSuite):
    target = "onnx"
    route = "keras@torch>onnx"
    gaps: ClassVar = {"test_keeps_free_height_and_width": PINNED}


class TestKerasOpenvinoToOpenvino(HopSuite):
    target = "openvino"
    route = "keras@openvino>openvino"


class TestKerasJaxThroughOnnxToOpenvino(HopSuite):
    target = "openvino"
    route = "keras@jax>onnx>openvino"
    gaps = TestKerasJaxToOnnx.gaps


@pytest.mark.slow
class TestKerasTorchThroughOnnxToOpenvino(HopSuite):
    target = "openvino"
    route = "keras@torch>onnx>openvino"
    gaps = TestKerasTorchToOnnx.gaps


class TestKerasJaxThroughStablehloToTflite(HopSuite):
    target = "tflite"
    route = "keras@jax>stablehlo>tflite"
    gaps: ClassVar = {
        "test_keeps_the_batch_free": "with a free batch the converter writes shape arithmetic around every layer",
        "test_keeps_free_height_and_width": PINNED,
    }


@pytest.mark.slow
class TestKerasTorchToTflite(HopSuite):
    target = "tflite"
    route = "keras@torch>tflite"
    gaps: ClassVar = {
        "test_keeps_the_batch_free": "litert-torch fixes what it traces",
        "test_keeps_free_height_and_width": PINNED,
    }


@needs_tensorflow
class TestKerasTensorflowThroughSavedModelToOpenvino(HopSuite):
    target = "openvino"
    route = "keras@tensorflow>saved_model>openvino"


@needs_tensorflow
class TestKerasTensorflowThroughSavedModelToTflite(HopSuite):
    target = "tflite"
    route = "keras@tensorflow>saved_model>tflite"


@pytest.mark.parametrize("name", [pytest.param("keras@torch>onnx", marks=pytest.mark.slow), "keras@jax>onnx"])
def test_an_old_operator_set_is_refused(bench: Bench, name: str) -> None:
    job = ConvertJob(name, (bench.source("cnn"),), bench.signature("cnn"), opset=13)
    with pytest.raises(ModelError) as caught:
        bench.executor.run(job, conversion_context(HOPS[name].backend))
    assert caught.value.code == "opset-too-old"


def test_the_operator_set_asked_for_is_written(bench: Bench) -> None:
    import onnx

    name = "keras@jax>onnx"
    (blob,) = bench.once(
        ConvertJob(name, (bench.source("two"),), bench.signature("two"), opset=21),
        conversion_context(HOPS[name].backend),
    ).files
    (written,) = onnx.load(bench.executor.path(blob)).opset_import
    assert (written.domain, written.version) == ("", 21)


@needs_tensorflow
@pytest.mark.parametrize("target", ["openvino", "tflite"])
def test_a_saved_model_has_names_but_no_order(bench: Bench, twin_keras: Path, target: str) -> None:
    source = bench.executor.add(twin_keras)
    observed = bench.once(ObserveJob(SourceSpec("keras", (source,), Loading()), {}, SAMPLES), conversion_context("jax"))
    signature = bench.once(DescribeJob(SourceSpec("keras", (source,), Loading())), conversion_context("jax")).signature
    names = [spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs]
    assert names != tuple(map(sorted, names))
    files: tuple[Blob, ...] = (source,)
    for name in ("keras@tensorflow>saved_model", f"saved_model>{target}"):
        files = bench.once(ConvertJob(name, files, signature), conversion_context(HOPS[name].backend)).files
    declared, _, (outputs,) = bench.run(target, files, observed.inputs, (2,))
    assert ([spec.name for spec in declared.inputs], [spec.name for spec in declared.outputs]) == names
    for name, blob in observed.outputs.items():
        np.testing.assert_allclose(outputs[name], np.load(bench.executor.path(blob)), atol=1e-5)


@needs_tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras with NumPy 2
def test_a_loop_over_steps_is_refused(bench: Bench, tmp_path: Path) -> None:
    import keras

    path = tmp_path / "steps.keras"
    keras.Sequential([keras.Input((None, 3), name="steps"), keras.layers.GRU(2, name="loop")]).save(path)
    blob, name = bench.executor.add(path), "keras@tensorflow>saved_model"
    signature = bench.once(DescribeJob(SourceSpec("keras", (blob,), Loading())), conversion_context("jax")).signature
    with pytest.raises(ModelError) as caught:
        bench.executor.run(ConvertJob(name, (blob,), signature), conversion_context(HOPS[name].backend))
    assert caught.value.code == "too-many-steps"
    assert caught.value.received == "layer loop"


@needs_tensorflow
def test_tensorflow_can_be_the_reference_and_the_converter(twin_keras: Path, tmp_path: Path) -> None:
    result = edgekit.export(twin_keras, ["openvino", "tflite"], backend="tensorflow", output=tmp_path / "kit")
    assert result.source.backend == "tensorflow"
    assert [row.verdict for row in result.artifacts] == ["verified", "verified"]
    assert [row.route for row in result.artifacts] == [
        "keras@tensorflow>saved_model>openvino",
        "keras@tensorflow>saved_model>tflite",
    ]
