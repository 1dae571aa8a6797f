"""Every hop between deployment formats, on models that other hops made and on operators one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest

from edgekit.errors import ModelError
from edgekit.exporter.graph import HOPS, Route, conversion_context
from edgekit.exporter.jobs import ConvertJob
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob
from edgekit.runtimes.base import Arrays, OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob, Signature, TensorSpec
from tests.conformance import operators_onnx, operators_openvino
from tests.conformance.hop_suite import BATCHES, SAMPLES, Bench, HopSuite
from tests.conformance.test_hops import PINNED

pytestmark = pytest.mark.xdist_group("formats")  # one bench for all: workers and conversions are shared

FIXED_BATCH = "the source fixes the batch to 1"

#: What the models of operators take and give.
SIGNATURE = Signature((TensorSpec("x", (None, 4, 6, 8), "float32"),), (TensorSpec("y", (None, None), "float32"),))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor, tmp_path_factory.mktemp("formats"))


class FormatSuite:
    """The behaviour of hops, on a file that other hops made from Keras.

    Attributes:
        target: artifact format.
        made: hops that make the file.
        hops: hops that convert it.
        gaps: see `HopSuite`.
    """

    target: ClassVar[str]
    made: ClassVar[tuple[str, ...]]
    hops: ClassVar[tuple[str, ...]]
    gaps: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _gap(self, request: pytest.FixtureRequest) -> None:
        reason = self.gaps.get(request.function.__name__)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture
    def path(self) -> Route:
        return Route(tuple(HOPS[name] for name in (*self.made, *self.hops)))

    test_agrees_with_the_source = HopSuite.test_agrees_with_the_source
    test_declares_names_order_and_types_of_the_source = HopSuite.test_declares_names_order_and_types_of_the_source
    test_keeps_the_batch_free = HopSuite.test_keeps_the_batch_free
    test_keeps_free_height_and_width = HopSuite.test_keeps_free_height_and_width
    test_says_nothing_about_this_machine = HopSuite.test_says_nothing_about_this_machine

    @pytest.mark.slow
    def test_is_the_same_file_when_made_again(self, bench: Bench) -> None:
        """Each hop in a process of its own."""
        source = bench.convert(Route(tuple(HOPS[name] for name in self.made)), "two")
        made = []
        for _ in range(2):
            files = source
            for name in self.hops:
                job = ConvertJob(name, files, bench.signature("two"))
                files = bench.executor.run_fresh(job, conversion_context(HOPS[name].backend)).files
            made.append(files)
        assert made[0] == made[1]


class TestOnnxToOnnx(FormatSuite):
    target = "onnx"
    made = ("keras@jax>onnx",)
    hops = ("onnx>onnx",)
    gaps: ClassVar = {"test_keeps_free_height_and_width": "JAX cannot decide the padding symbolically"}


class TestOpenvinoToOpenvino(FormatSuite):
    target = "openvino"
    made = ("keras@openvino>openvino",)
    hops = ("openvino>openvino",)


class TestOpenvinoToOnnx(FormatSuite):
    target = "onnx"
    made = ("keras@openvino>openvino",)
    hops = ("openvino>onnx",)


class TestOnnxToTflite(FormatSuite):
    target = "tflite"
    made = ("keras@jax>onnx",)
    hops = ("onnx>stablehlo", "stablehlo>tflite")
    gaps: ClassVar = {"test_keeps_the_batch_free": "see stablehlo>tflite", "test_keeps_free_height_and_width": PINNED}


class TestTfliteToTflite(FormatSuite):
    target = "tflite"
    made = ("keras@jax>stablehlo", "stablehlo>tflite")
    hops = ("tflite>tflite",)
    gaps: ClassVar = {"test_keeps_the_batch_free": FIXED_BATCH, "test_keeps_free_height_and_width": PINNED}


class TestTfliteToOpenvino(FormatSuite):
    target = "openvino"
    made = ("keras@jax>stablehlo", "stablehlo>tflite")
    hops = ("tflite>openvino",)
    gaps = TestTfliteToTflite.gaps


class TestTfliteToOnnx(FormatSuite):
    target = "onnx"
    made = ("keras@jax>stablehlo", "stablehlo>tflite")
    hops = ("tflite>openvino", "openvino>onnx")
    gaps = TestTfliteToTflite.gaps


@pytest.fixture(scope="module")
def openvino_operators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openvino")
    command = [sys.executable, "-m", "tests.conformance.operators_openvino", str(folder)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env={**os.environ})
    return folder


@pytest.fixture(scope="module")
def samples(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Blob]:
    path = tmp_path_factory.mktemp("samples") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(SAMPLES, 4, 6, 8)).astype(np.float32))
    return {"x": bench.executor.add(path)}


def _run(
    bench: Bench, target: str, files: tuple[Blob, ...], samples: dict[str, Blob]
) -> tuple[Signature, list[Arrays]]:
    options = OpenOptions(precision="f32") if target == "openvino" else OpenOptions()
    found = bench.once(RunJob(runtime_for(target).name, files, samples, BATCHES, options), conversion_context(None))
    arrays = [{name: np.load(bench.executor.path(blob)) for name, blob in outputs.items()} for outputs in found.outputs]
    return found.signature, arrays


def _convert(bench: Bench, files: tuple[Blob, ...], signature: Signature, *hops: str) -> tuple[Blob, ...]:
    for name in hops:
        job = ConvertJob(name, files, signature)
        files = bench.executor.run(job, conversion_context(HOPS[name].backend)).files
    return files


def _agree(expected: np.ndarray, runs: list[Arrays]) -> None:
    """Equal to rounding, value by value: a wrong one among thousands must show."""
    assert float(expected.std(axis=0).mean()) > 0.1, "nothing would be compared"
    for outputs in runs:
        np.testing.assert_allclose(outputs["y"].reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", operators_openvino.MODELS)
def test_openvino_operators_mean_the_same_in_onnx(
    bench: Bench, openvino_operators: Path, samples: dict[str, Blob], name: str
) -> None:
    files = tuple(bench.executor.add(openvino_operators / name / f"model.{suffix}") for suffix in ("xml", "bin"))
    signature, expected = _run(bench, "openvino", files, samples)
    _, runs = _run(bench, "onnx", _convert(bench, files, signature, "openvino>onnx"), samples)
    assert len(runs) == len(BATCHES)
    _agree(expected[0]["y"], runs)


@pytest.mark.parametrize("name", operators_onnx.MODELS)
def test_onnx_operators_mean_the_same_in_tflite(
    bench: Bench, samples: dict[str, Blob], tmp_path: Path, name: str
) -> None:
    files = (bench.executor.add(operators_onnx.save(tmp_path, name)),)
    signature, expected = _run(bench, "onnx", files, samples)
    _, runs = _run(bench, "tflite", _convert(bench, files, signature, "onnx>stablehlo", "stablehlo>tflite"), samples)
    _agree(expected[0]["y"], runs)


@pytest.mark.parametrize("name", operators_onnx.MODELS)
def test_an_older_operator_set_is_raised(bench: Bench, samples: dict[str, Blob], tmp_path: Path, name: str) -> None:
    """The models are valid in 18 and newer; here they are asked for in 21."""
    files = (bench.executor.add(operators_onnx.save(tmp_path, name)),)
    signature, expected = _run(bench, "onnx", files, samples)
    job = ConvertJob("onnx>onnx", files, signature, opset=21)
    made = bench.executor.run(job, conversion_context(None)).files
    (written,) = onnx.load(bench.executor.path(made[0])).opset_import
    assert (written.domain, written.version) == ("", 21)
    _, runs = _run(bench, "onnx", made, samples)
    _agree(expected[0]["y"], runs)


def _refused(bench: Bench, hop: str, files: tuple[Blob, ...], signature: Signature = SIGNATURE) -> ModelError:
    with pytest.raises(ModelError) as caught:
        _convert(bench, files, signature, hop)
    return caught.value


def test_an_openvino_operator_that_onnx_lacks_is_named(bench: Bench, openvino_operators: Path) -> None:
    files = tuple(bench.executor.add(openvino_operators / "unknown" / f"model.{suffix}") for suffix in ("xml", "bin"))
    error = _refused(bench, "openvino>onnx", files)
    assert (error.code, error.received) == ("unsupported-operator", "operator Bucketize, layer ranks")


def test_an_onnx_operator_that_is_not_written_is_named(bench: Bench, tmp_path: Path) -> None:
    graph = operators_onnx.Graph()
    path = tmp_path / "det.onnx"
    onnx.save(graph.model([graph("Unsqueeze", graph("Det", graph("Slice", "x", [0], [6], [3])), [2])]), path)
    error = _refused(bench, "onnx>stablehlo", (bench.executor.add(path),))
    assert (error.code, error.received) == ("unsupported-operator", "operator Det, node Det1")


def test_a_tflite_operator_that_openvino_lacks_is_named(bench: Bench, samples: dict[str, Blob], tmp_path: Path) -> None:
    graph = operators_onnx.Graph()
    onnx.save(graph.model([graph("Atan", "x")]), tmp_path / "atan.onnx")
    files = (bench.executor.add(tmp_path / "atan.onnx"),)
    made = _convert(bench, files, SIGNATURE, "onnx>stablehlo", "stablehlo>tflite")
    error = _refused(bench, "tflite>openvino", made)
    assert (error.code, error.received) == ("unsupported-operator", "operator ATAN2")


@pytest.mark.parametrize("hop", ["onnx>onnx", "onnx>stablehlo", "onnx>openvino"])
def test_a_quantized_onnx_is_refused(bench: Bench, tmp_path: Path, hop: str) -> None:
    graph = operators_onnx.Graph()
    scale = (np.float32(0.02), np.int8(0))
    rounded = graph("DequantizeLinear", graph("QuantizeLinear", "x", *scale), *scale)
    path = tmp_path / "quantized.onnx"
    onnx.save(graph.model([rounded]), path)
    error = _refused(bench, hop, (bench.executor.add(path),))
    named = "FakeQuantize at " if hop == "onnx>openvino" else "QuantizeLinear at QuantizeLinear0"
    assert error.code == "already-quantized"
    assert str(error.received).startswith(named)


@pytest.mark.parametrize("hop", ["openvino>onnx", "openvino>openvino"])
def test_a_quantized_openvino_model_is_refused(bench: Bench, openvino_operators: Path, hop: str) -> None:
    folder = openvino_operators / "quantized"
    error = _refused(bench, hop, tuple(bench.executor.add(folder / f"model.{suffix}") for suffix in ("xml", "bin")))
    assert error.code == "already-quantized"
    assert str(error.received).startswith("FakeQuantize at ")


@pytest.mark.parametrize("hop", ["tflite>tflite", "tflite>openvino"])
def test_a_quantized_tflite_is_refused(bench: Bench, hop: str) -> None:
    made = bench.convert(Route((HOPS["keras@jax>stablehlo"], HOPS["stablehlo>tflite"])), "cnn")
    signature = bench.signature("cnn")
    job = QuantizeJob("tflite:int8-weights", made, signature, {})
    quantized = bench.once(job, conversion_context(None)).files
    error = _refused(bench, hop, quantized, signature)
    assert error.code == "already-quantized"
    assert str(error.received).startswith("int8 tensor ")


def test_an_operator_set_that_is_too_old_is_raised_without_being_asked(
    bench: Bench, samples: dict[str, Blob], tmp_path: Path
) -> None:
    graph = operators_onnx.Graph()
    model = graph.model([graph("Relu", "x"), graph("GlobalAveragePool", "x")], opset=13)
    onnx.save(model, tmp_path / "old.onnx")
    files = (bench.executor.add(tmp_path / "old.onnx"),)
    signature, expected = _run(bench, "onnx", files, samples)
    made = _convert(bench, files, signature, "onnx>onnx")
    assert onnx.load(bench.executor.path(made[0])).opset_import[0].version == 18
    _agree(expected[0]["y"], _run(bench, "onnx", made, samples)[1])


def test_weights_beside_an_onnx_file_come_along(bench: Bench, samples: dict[str, Blob], tmp_path: Path) -> None:
    graph = operators_onnx.Graph()
    model = graph.model([graph("MatMul", "x", graph.weights(8, 300))])
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin", size_threshold=100)
    files = tuple(bench.executor.add(tmp_path / name) for name in ("split.onnx", "weights.bin"))
    signature, expected = _run(bench, "onnx", files, samples)
    made = _convert(bench, files, signature, "onnx>onnx")
    assert [blob.name for blob in made] == ["model.onnx"]
    _agree(expected[0]["y"], _run(bench, "onnx", made, samples)[1])


def test_a_pinned_size_is_written(bench: Bench, samples: dict[str, Blob], tmp_path: Path) -> None:
    graph = operators_onnx.Graph()
    model = graph.model([graph("Relu", "x")])
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, tmp_path / "free.onnx")
    files = (bench.executor.add(tmp_path / "free.onnx"),)
    free, expected = _run(bench, "onnx", files, samples)
    assert free.inputs[0].shape == (None, 4, None, None)
    pinned = replace(free, inputs=SIGNATURE.inputs)
    signature, runs = _run(bench, "onnx", _convert(bench, files, pinned, "onnx>onnx"), samples)
    assert signature.inputs == SIGNATURE.inputs
    _agree(expected[0]["y"], runs)


@pytest.mark.parametrize("hop", ["openvino>openvino", "openvino>onnx"])
def test_a_pinned_size_of_an_openvino_model_is_written(bench: Bench, hop: str) -> None:
    made = bench.convert(Route((HOPS["keras@openvino>openvino"],)), "anysize")
    size = (None, 25, 47, 3)
    free = bench.signature("anysize")
    assert free.inputs[0].shape == (None, None, None, 3)
    files = _convert(bench, made, replace(free, inputs=(replace(free.inputs[0], shape=size),)), hop)
    inputs, expected = bench.reference("anysize", {"image": size})
    declared, _, (outputs,) = bench.run(HOPS[hop].destination, files, inputs, (2,))
    assert declared.inputs[0].shape == size
    np.testing.assert_allclose(outputs["score"], expected["score"], atol=1e-5)
