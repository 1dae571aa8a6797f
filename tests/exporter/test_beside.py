"""Sources that are timed beside artifacts, from the command to the report."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import edgekit
from edgekit.errors import EdgekitError, UsageError
from edgekit.exporter.beside import is_model
from edgekit.kit import Kit
from edgekit.latency.stored import read_timings
from edgekit.results import BenchResult
from edgekit.samples import save_npz
from tests import models
from tests.cli.command import edgekit as command


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "samples.npz"
    save_npz(path, models.twin_inputs(4).items())
    return path


@pytest.fixture(scope="module")
def beside(twin_onnx: Path, twin_keras: Path, data: Path) -> BenchResult:
    """An artifact and its source in one way, timed together."""
    paths = [twin_onnx, twin_keras]
    options = {"runtime": "keras:jax:compiled", "batch": 2, "threads": 1, "max_seconds": 2.5}
    result: BenchResult = edgekit.bench(paths, data=data, **options)
    return result


def test_a_source_is_timed_beside_its_artifact(beside: BenchResult, twin_keras: Path) -> None:
    artifact, source = beside.results
    assert (artifact.runtime, artifact.way, artifact.threads) == ("onnxruntime", None, 1)
    assert (source.name, source.target, source.way) == ("keras:jax compiled", "keras", "compiled")
    assert source.runtime == "keras:jax"
    assert source.latency_ms is not None
    assert (source.batch, artifact.batch) == (2, 2)
    assert (source.artifact, source.source) == (str(twin_keras), str(twin_keras))
    assert source.size_bytes == twin_keras.stat().st_size
    assert "jax" in source.environment["engine"]
    assert source.input_copy == "inputs and outputs"


def test_compilation_is_in_the_first_inference(beside: BenchResult) -> None:
    source = beside.results[1]
    assert source.first_ms is not None
    assert source.latency_ms is not None
    assert source.first_ms > 10 * source.latency_ms.p50, (
        "JAX compiles for tens of milliseconds, and runs in less than one"
    )


def test_what_deployment_gains_is_in_the_result(beside: BenchResult) -> None:
    (gain,) = beside.gains
    artifact, source = beside.results
    assert (gain.artifact, gain.name, gain.over) == (artifact.artifact, "onnx", "keras:jax compiled")
    assert artifact.latency_ms is not None
    assert source.latency_ms is not None
    assert gain.ci95[0] <= gain.speedup <= gain.ci95[1]
    assert gain.speedup == pytest.approx(source.latency_ms.p50 / artifact.latency_ms.p50, rel=0.9)


def test_threads_of_engines_are_not_those_of_a_framework(beside: BenchResult) -> None:
    source = beside.results[1]
    assert source.threads is None
    assert any("threads of its own framework" in reason for reason in source.reasons)


def test_the_result_reads_back(beside: BenchResult, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(beside.to_json()))
    assert read_timings(tmp_path / "result.json") == beside.results


def test_a_model_alone_runs_on_generated_inputs(twin_keras: Path) -> None:
    result = edgekit.bench(twin_keras, runtime=["keras:jax:eager", "keras:jax:predict"], max_seconds=0.3)
    assert [row.name for row in result.results] == ["keras:jax eager", "keras:jax predict"]
    assert all(row.latency_ms is not None for row in result.results)
    assert (result.evidence.inputs, result.gains, result.kit) == ("generated", (), None)


def test_an_engine_leaves_the_artifacts_of_others_out(twin_onnx: Path, twin_openvino: Path, data: Path) -> None:
    result = edgekit.bench([twin_onnx, twin_openvino], data=data, runtime="openvino", max_seconds=0.3)
    assert [row.runtime for row in result.results] == ["openvino"]
    with pytest.raises(UsageError, match="none of these artifacts is for the runtimes"):
        edgekit.bench([twin_onnx, twin_openvino], data=data, runtime="tflite")


def test_a_source_runs_here_beside_what_each_accelerator_does(
    twin_openvino: Path, twin_keras: Path, data: Path
) -> None:
    elsewhere = f"python:{sys.executable}"
    options = {"runtime": ["openvino", "openvino:AUTO", "keras:jax:compiled"], "max_seconds": 1.0, "batch": 2}
    result = edgekit.bench([twin_openvino, twin_keras], data=data, device=[elsewhere, "local"], **options)
    assert [(row.runtime, row.device) for row in result.results] == [
        ("openvino", elsewhere),
        ("openvino:AUTO", elsewhere),
        ("openvino", "local"),
        ("openvino:AUTO", "local"),
        ("keras:jax", "local"),
    ]
    assert all(row.latency_ms is not None for row in result.results), [row.reasons for row in result.results]
    assert {(gain.name, gain.device) for gain in result.gains} <= {("openvino", "local"), ("openvino on AUTO", "local")}
    with pytest.raises(UsageError) as caught:
        edgekit.bench([twin_openvino, twin_keras], data=data, device=elsewhere)
    assert caught.value.code == "source-elsewhere"


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("tensorrt", "unknown-runtime"),
        ("keras:jit", "unknown-runtime"),
        ("keras:jax", "no-source"),
    ],
)
def test_what_cannot_be_run_beside_a_file(runtime: str, code: str, twin_onnx: Path, data: Path) -> None:
    with pytest.raises(EdgekitError) as error:
        edgekit.bench(twin_onnx, data=data, runtime=runtime)
    assert error.value.code == code
    assert error.value.received == runtime


def test_a_bad_runtime_is_bad_usage(twin_onnx: Path, data: Path, tmp_path: Path) -> None:
    done = command("bench", twin_onnx, "--data", data, "--runtime", "tensorrt", cwd=tmp_path)
    assert done.code == 2
    assert "keras" in done.err


@pytest.mark.parametrize(
    ("name", "model"),
    [("a.keras", True), ("a.pt2", True), ("model.py:make", True), ("a.onnx", False), ("a.xml", False), ("kit", False)],
)
def test_what_is_a_model(name: str, model: bool, tmp_path: Path) -> None:
    (tmp_path / name.partition(":")[0]).touch()
    assert is_model(tmp_path / name) == model


@pytest.mark.slow
def test_a_kit_brings_its_source_and_the_report_shows_it(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    shutil.copytree(digits_kit, kit)
    options = {"target": "onnx", "runtime": "keras:jax:predict", "max_seconds": 4.0}
    result = edgekit.bench(kit, **options)
    *artifacts, source = result.results
    assert {row.target for row in artifacts} == {"onnx"}
    assert source.source_sha256 == Kit.open(kit).manifest.source.sha256
    in_common = {row.artifact for row in artifacts if min(row.openings, source.openings) > 1}
    assert {(gain.artifact, gain.over) for gain in result.gains} == {(one, "keras:jax predict") for one in in_common}
    (summary,) = edgekit.report(kit).summaries
    assert [row.name for row in summary.sources] == ["keras:jax predict"]
    assert len(summary.gains) == len(result.gains)
    assert "keras fp32" not in [line.name for line in summary.lines]
    first, _ = (edgekit.bench(kit, **options) for _ in range(2))
    trends = {trend.artifact: trend for trend in edgekit.report(kit).summaries[0].history.timings}
    assert len(trends["keras:jax predict"].moments) == 3
    assert first.kit == str(kit)
