"""Running an artifact on samples in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.jobs import RunJob, RunResult, run_samples
from edgekit.runtimes.onnxruntime_ import OnnxRuntime
from tests import models

SAMPLES = 7


def run_job(executor: Executor, runtime: str, files: list[Path], folder: Path, batches: tuple[int, ...]) -> RunResult:
    inputs = {}
    for name, array in models.twin_inputs(SAMPLES).items():
        np.save(folder / f"{name}.npy", array)
        inputs[name] = executor.add(folder / f"{name}.npy")
    job = RunJob(runtime, tuple(executor.add(path) for path in files), inputs, batches, OpenOptions())
    return executor.run_fresh(job, Context("plain"))


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_all_samples_come_back_for_every_batch_size(
    target: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path: Path = request.getfixturevalue(f"twin_{target}")
    files = [path, path.with_suffix(".bin")] if target == "openvino" else [path]
    runtime = "onnxruntime" if target == "onnx" else target
    expected = models.twin_outputs(models.twin_inputs(SAMPLES))
    with Executor() as executor:
        result = run_job(executor, runtime, files, tmp_path, (1, 3))
        assert result.batches == (1, 3)
        assert len(result.outputs) == 2
        for outputs in result.outputs:
            assert list(outputs) == ["score", "embed"]
            for name, blob in outputs.items():
                np.testing.assert_allclose(np.load(executor.path(blob)), expected[name], rtol=1e-5, atol=2e-6)
    assert result.signature.batch is None
    assert result.effective.precision.value == "f32"


def test_a_fixed_batch_is_run_as_it_is_and_padding_is_cut_off(twin_onnx_fixed: Path, tmp_path: Path) -> None:
    expected = models.twin_outputs(models.twin_inputs(SAMPLES))
    with Executor() as executor:
        result = run_job(executor, "onnxruntime", [twin_onnx_fixed], tmp_path, (1, 3))
        assert result.batches == (2,)
        (outputs,) = result.outputs
        got = np.load(executor.path(outputs["score"]))
    assert got.shape == (SAMPLES, 2)
    np.testing.assert_allclose(got, expected["score"], rtol=1e-5, atol=2e-6)


def test_an_engine_that_refuses_a_file_is_quoted_across_the_process(tmp_path: Path) -> None:
    path = tmp_path / "garbage.tflite"
    path.write_bytes(b"no model" * 50)
    with Executor() as executor, pytest.raises(ModelError) as caught:
        run_job(executor, "tflite", [path], tmp_path, (1,))
    assert caught.value.code == "unloadable-artifact"
    assert "garbage.tflite" in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_a_short_last_batch_of_a_free_artifact_is_run_as_it_is(twin_onnx: Path) -> None:
    inputs = models.twin_inputs(5)
    with OnnxRuntime().open(twin_onnx, OpenOptions()) as session:
        outputs = run_samples(session, inputs, 4)
    np.testing.assert_allclose(outputs["embed"], models.twin_outputs(inputs)["embed"], rtol=1e-5, atol=2e-6)


def test_what_a_further_batch_size_changes_shows_in_its_first_samples(tmp_path: Path) -> None:
    """A model that subtracts the mean over the batch, which at one sample per inference is the sample itself."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    axes = [onnx.numpy_helper.from_array(np.array([0]), "axes")]
    graph = helper.make_graph(nodes, "mean", ends[:1], ends[1:], axes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "mean.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    with Executor() as executor:
        inputs = {"x": executor.add(tmp_path / "x.npy")}
        files = (executor.add(tmp_path / "mean.onnx"),)
        job = RunJob("onnxruntime", files, inputs, (1, 3), OpenOptions())
        found = [np.load(executor.path(one["y"])) for one in executor.run_fresh(job, Context("plain")).outputs]
    assert found[0].shape == found[1].shape == (20, 4)
    assert np.all(found[0] == 0)
    assert np.abs(found[1][:6]).max() > 0.1
    assert np.all(found[1][6:] == 0)
