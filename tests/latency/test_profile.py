"""`edgekit.bench` with a profile: where the time goes on each engine, in layers of the source."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Profile
from edgekit.jobs.codec import from_json
from edgekit.report.render import report
from edgekit.report.terminal import view
from edgekit.results import BenchResult
from tests.latency import lopsided
from tests.models import twin_inputs

TARGETS = ("onnx", "openvino", "tflite")


@pytest.fixture(scope="module")
def lopsided_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of `tests.latency.lopsided` in fp32."""
    folder = tmp_path_factory.mktemp("lopsided")
    variables = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, str(lopsided.__file__), str(folder)], check=True, capture_output=True, env=variables
    )
    made = edgekit.export(folder / "lopsided.keras", target="all", data=folder / "data.npz", output=folder / "kit")
    assert {one.target for one in made.artifacts if one.path} == set(TARGETS)
    return folder / "kit"


@pytest.fixture(scope="module")
def lopsided_result(lopsided_kit: Path) -> BenchResult:
    result: BenchResult = edgekit.bench(lopsided_kit, profile=True, threads=1, max_seconds=2)
    return result


def profile_of(result: BenchResult, target: str, precision: str = "fp32") -> tuple[BenchRow, Profile]:
    (row,) = (row for row in result.results if (row.target, row.precision) == (target, precision))
    assert row.profile is not None, row.reasons
    return row, row.profile


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_the_convolution_with_most_of_the_arithmetic_takes_most_of_the_time(
    target: str, lopsided_result: BenchResult
) -> None:
    _, profile = profile_of(lopsided_result, target)
    top = profile.operators[0]
    assert lopsided.LARGE in top.layers
    assert "conv" in top.kind.lower().replace("_", "")
    assert profile.layers_of == "source"
    assert profile.method == ("bisection" if target == "tflite" else "engine profile")


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_profile_adds_up_and_says_what_it_costs(target: str, lopsided_result: BenchResult) -> None:
    row, profile = profile_of(lopsided_result, target)
    assert sum(one.share for one in profile.operators) == pytest.approx(1)
    assert sum(one.ms for one in profile.operators) == pytest.approx(profile.total_ms)
    assert [one.ms for one in profile.operators] == sorted((one.ms for one in profile.operators), reverse=True)
    assert {one.precision for one in profile.operators} == {"f32"}
    assert all(one.placement for one in profile.operators)
    assert (profile.profiled_ms is None) is (target == "tflite")
    assert row.latency_ms is not None
    assert row.latency_ms.p50 not in (profile.total_ms, profile.plain_ms, profile.profiled_ms)


@pytest.mark.slow
def test_every_layer_of_the_source_is_somewhere(lopsided_result: BenchResult) -> None:
    for target in TARGETS:
        _, profile = profile_of(lopsided_result, target)
        found = {layer for one in profile.operators for layer in one.layers}
        assert found >= {"small", lopsided.LARGE, "pool", "scores"}, target
        assert lopsided.LARGE in profile.layers[0].layers
        assert sum(one.operators for one in profile.layers) <= len(profile.operators)


@pytest.mark.slow
def test_a_profile_is_stored_and_read_back_and_shown_everywhere(
    lopsided_kit: Path, lopsided_result: BenchResult, tmp_path: Path
) -> None:
    newest = max((lopsided_kit / "results").glob("bench-*.json"))
    document = json.loads(newest.read_text())
    document.pop("schema")
    assert from_json(BenchResult, document).results == lopsided_result.results
    for name in ("report.html", "report.md"):
        report(lopsided_kit, tmp_path / name)
        page = (tmp_path / name).read_text()
        for target in TARGETS:
            assert f"Where the time of {target} fp32 goes" in page
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as captured:
        console.print(view(lopsided_result))
    assert captured.get().count("no latency") == len(TARGETS)


@pytest.mark.slow
def test_without_the_source_the_operators_of_the_file_are_named(lopsided_kit: Path) -> None:
    source = lopsided_kit.parent / "lopsided.keras"
    away = source.rename(source.with_suffix(".away"))
    try:
        result = edgekit.bench(lopsided_kit, target="onnx", profile=True, threads=1, max_seconds=1)
    finally:
        away.rename(source)
    _, profile = profile_of(result, "onnx")
    assert profile.layers_of == "file"
    assert "gone or has changed" in " ".join(profile.notes)
    assert all(one.layers for one in profile.operators if one.share > 0.3)


@pytest.mark.slow
def test_a_profile_of_a_device_names_the_same_layers(lopsided_kit: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    shutil.copytree(lopsided_kit, kit)  # a result is added to it
    device = f"python:{sys.executable}"  # of edgekit, only the device core is there
    result = edgekit.bench(kit, profile=True, device=device, threads=1, max_seconds=2)
    for target in TARGETS:
        row, profile = profile_of(result, target)
        assert (row.device, profile.layers_of) == (device, "source"), profile.notes
        assert lopsided.LARGE in profile.operators[0].layers
    (tmp_path / "result.json").write_text(json.dumps(result.to_json()))
    report([tmp_path / "result.json"], tmp_path / "report.md")
    assert f"Where the time of tflite fp32 on {device} goes" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
def test_integers_and_conversions_are_seen(digits_kit: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    shutil.copytree(digits_kit, kit)  # a result is added to it
    result = edgekit.bench(kit, precision="int8", profile=True, threads=1, max_seconds=1)
    for target in TARGETS:
        _, profile = profile_of(result, target, "int8")
        assert "i8" in {one.precision for one in profile.operators if "conv" in one.kind.lower()}, target
    _, profile = profile_of(result, "tflite", "int8")
    (quantize,) = (one for one in profile.operators if one.kind == "QUANTIZE")
    assert quantize.ms >= 0
    assert quantize.noise_ms is not None


def pair_onnx(path: Path) -> Path:
    """A pair that quantizes and dequantizes in front of a product in floating point, which nothing can fuse."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="pair/quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="pair/dequantize"),
        helper.make_node("MatMul", ["d", "w"], ["y"], name="product"),
    ]
    constants = {"scale": np.array(0.05, np.float32), "zero": np.array(0, np.int8), "w": weights}
    graph = helper.make_graph(
        nodes,
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 256])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_a_pair_that_quantizes_and_dequantizes_is_visible(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((4, 256), np.float32))
    result = edgekit.bench(
        pair_onnx(tmp_path / "pair.onnx"), data=tmp_path / "data.npz", profile=True, threads=1, batch=3, max_seconds=0.3
    )
    (row,) = result.results
    assert row.profile is not None
    found = {one.kind: one for one in row.profile.operators}
    assert found.keys() >= {"QuantizeLinear", "DequantizeLinear", "MatMul"}
    assert found["DequantizeLinear"].layers == ("pair/dequantize",)
    assert (found["MatMul"].precision, found["MatMul"].placement) == ("f32", "CPU")
    assert row.profile.layers_of == "file"


@pytest.mark.parametrize(("seconds", "alone"), [(0.3, False), (3.0, True)])
def test_a_graph_with_several_inputs_and_outputs_is_bisected(
    seconds: float, alone: bool, twin_tflite: Path, tmp_path: Path
) -> None:
    """Down to single operators where there is time, else in groups that are named from first to last."""
    np.savez(tmp_path / "data.npz", **twin_inputs(4))  # type: ignore[arg-type]  # numpy types the names as options
    result = edgekit.bench(twin_tflite, data=tmp_path / "data.npz", profile=True, threads=1, max_seconds=seconds)
    (row,) = result.results
    assert row.profile is not None, row.reasons
    assert row.profile.method == "bisection"
    assert row.profile.total_ms > 0
    units = {one.kind: one.placement for one in row.profile.operators}
    if alone:
        assert units["GATHER"] == "built-in", "XNNPACK has no such kernel"
        assert "XNNPACK" in units.values()
    else:
        assert any(kind.endswith(" operators") for kind in units)
        assert any("in groups" in note for note in row.profile.notes)


@pytest.mark.parametrize("scenario", ["throughput", "cold"])
def test_a_profile_of_another_scenario_is_refused(scenario: str, twin_onnx: Path) -> None:
    with pytest.raises(UsageError) as error:
        edgekit.bench(twin_onnx, scenario=scenario, profile=True)
    assert error.value.code == "profile-of-latency-only"
    assert scenario in str(error.value)
