"""Every route from Keras to every target, on real converters and real engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import onnx
import pytest

from edgekit.errors import ModelError
from edgekit.exporter.graph import HOPS, TARGETS, routes
from edgekit.exporter.jobs import ConvertJob
from edgekit.jobs.executor import Executor
from tests.conformance.hop_suite import Bench, HopSuite

pytestmark = pytest.mark.xdist_group("hops")  # one bench for all: workers and conversions are shared

PINNED = "a traced size would be baked in, so a free one is refused"

SYMBOLIC = "JAX cannot decide the padding of a strided convolution for a symbolic size"


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


def test_every_route_has_a_class() -> None:
    tested = {suite.route for suite in HopSuite.__subclasses__()}
    assert tested == {route.name for target in TARGETS for route in routes("keras", target)}


@pytest.mark.parametrize("name", [pytest.param("keras@torch>onnx", marks=pytest.mark.slow), "keras@jax>onnx"])
def test_an_old_operator_set_is_refused(bench: Bench, name: str) -> None:
    job = ConvertJob(name, (bench.source("cnn"),), bench.signature("cnn"), opset=13)
    with pytest.raises(ModelError) as caught:
        bench.executor.run(job, HOPS[name].context)
    assert caught.value.code == "opset-too-old"


def test_the_operator_set_asked_for_is_written(bench: Bench) -> None:
    name = "keras@jax>onnx"
    (blob,) = bench.once(
        ConvertJob(name, (bench.source("two"),), bench.signature("two"), opset=21), HOPS[name].context
    ).files
    (written,) = onnx.load(bench.executor.path(blob)).opset_import
    assert (written.domain, written.version) == ("", 21)
