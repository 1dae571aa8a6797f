"""What the quantizers underneath get wrong, on files that show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.errors import JobFailed
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.jobs import ConvertJob
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob, Signature, TensorSpec
from tests import models
from tests.quantizer import digits

TWIN = Signature(
    (TensorSpec("wide", (None, 4), "float32"), TensorSpec("token", (None, 2), "int32")),
    (TensorSpec("score", (None, 2), "float32"), TensorSpec("embed", (None, 5), "float32")),
)


def blobs(executor: Executor, folder: Path, arrays: dict[str, np.ndarray], kind: str) -> dict[str, Blob]:
    found = {}
    for name, array in arrays.items():
        np.save(folder / f"{kind}-{name}.npy", array)
        found[name] = executor.add(folder / f"{kind}-{name}.npy")
    return found


@pytest.mark.parametrize("fixed", [False, True], ids=["free batch", "batch 2"])
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_several_inputs_one_of_them_of_integers(
    target: str, fixed: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    entry: Path = request.getfixturevalue(f"twin_{target}_fixed" if fixed else f"twin_{target}")
    inputs = models.twin_inputs(41)
    with Executor() as executor:
        files = tuple(executor.add(path) for path in (entry, entry.with_suffix(".bin")) if path.is_file())
        calibration = blobs(executor, tmp_path, models.twin_inputs(61, seed=2), "calibration")
        job = QuantizeJob(f"{target}:int8", files, TWIN.with_batch(2 if fixed else None), calibration)
        made = executor.run(job, conversion_context(None))
        assert made.quantized_ops > 0
        evaluation = blobs(executor, tmp_path, inputs, "evaluation")
        ran = executor.run_fresh(
            RunJob(runtime_for(target).name, made.files, evaluation, (1,), OpenOptions(threads=1)),
            conversion_context(None),
        )
        got = {name: np.load(executor.path(blob)) for name, blob in ran.outputs[0].items()}
    assert [spec.name for spec in ran.signature.inputs] == ["wide", "token"]
    assert [spec.name for spec in ran.signature.outputs] == ["score", "embed"]
    assert ran.signature.batch == (2 if fixed else None)
    for name, reference in models.twin_outputs(inputs).items():
        assert 0 < np.abs(got[name] - reference).max() < 0.1 * np.abs(reference).max()


def test_a_model_without_weights_is_not_called_quantized(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    signature = Signature((TensorSpec("x", (None, 4), "float32"),), (TensorSpec("y", (None, 4), "float32"),))
    with Executor() as executor:
        files = (executor.add(tmp_path / "m.onnx"),)
        for method in ("onnx:int8-dynamic", "onnx:int8-weights", "onnx:fp16"):
            with pytest.raises(JobFailed) as caught:
                executor.run(QuantizeJob(method, files, signature, {}), conversion_context(None))
            assert caught.value.code == "nothing-quantized"


def test_a_limit_that_two_operators_share_is_cast_once_in_float16(tmp_path: Path) -> None:
    """Min stays in float32, Div does not: the converter writes the cast of their constant for each Min."""
    random = np.random.default_rng(3)
    weights = {name: random.normal(size=(8, 8)).astype(np.float32) for name in ("first", "second")}
    constants = {**weights, "six": np.float32(6).reshape(())}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["a"], "a"),
            helper.make_node("Min", ["a", "six"], ["b"], "b"),
            helper.make_node("MatMul", ["b", "second"], ["c"], "c"),
            helper.make_node("Min", ["c", "six"], ["d"], "d"),
            helper.make_node("Div", ["d", "six"], ["y"], "y"),
        ],
        "shared",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    signature = Signature((TensorSpec("x", (None, 8), "float32"),), (TensorSpec("y", (None, 8), "float32"),))
    x = random.normal(size=(20, 8)).astype(np.float32)
    with Executor() as executor:
        job = QuantizeJob("onnx:fp16", (executor.add(tmp_path / "m.onnx"),), signature, {})
        made = executor.run(job, conversion_context(None))
        run = RunJob("onnxruntime", made.files, blobs(executor, tmp_path, {"x": x}, "in"), (1,), OpenOptions(threads=1))
        ran = executor.run_fresh(run, conversion_context(None))
        got = np.load(executor.path(ran.outputs[0]["y"]))
    wanted = np.minimum(np.minimum(x @ weights["first"], 6) @ weights["second"], 6) / 6
    assert wanted.std(axis=0).min() > 0.2
    assert 0 < np.abs(got - wanted).max() < 0.02


def test_a_function_written_out_as_arithmetic_stays_float(tmp_path: Path) -> None:
    """The exact GELU of the digits model divides by zero on a branch that is not taken."""
    with Executor() as executor:
        calibration = blobs(executor, tmp_path, {"image": digits.images()[0][:50]}, "calibration")
        files = (executor.add(digits.artifacts() / "model.tflite"),)
        job = QuantizeJob("tflite:int8", files, digits.signature("tflite"), calibration)
        made = executor.run(job, conversion_context(None))
    assert 40 < int(made.settings["left_out_operators"]) < 100


def test_a_new_operator_set_is_lowered_for_quantizers(tmp_path: Path) -> None:
    """From 21 on onnxruntime's optimizer moves quantizers wrongly."""
    assert onnx.load(digits.artifacts() / "model.onnx").opset_import[0].version == 21
    with Executor() as executor:
        calibration = blobs(executor, tmp_path, {"image": digits.images()[0][:20]}, "calibration")
        files = (executor.add(digits.artifacts() / "model.onnx"),)
        job = QuantizeJob("onnx:int8", files, digits.signature("onnx"), calibration)
        made = executor.run(job, conversion_context(None))
        assert onnx.load(executor.path(made.files[0])).opset_import[0].version == 20
    assert made.settings["opset"] == "20"


def test_no_telemetry_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF and OpenVINO give a user a number in ``~/intel`` and report their use, unless told not to."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Executor() as executor:
        files = (executor.add(digits.artifacts() / "model.onnx"),)
        job = QuantizeJob("onnx:int8-weights", files, digits.signature("onnx"), {})
        executor.run(job, conversion_context(None))
        (home,) = tmp_path.glob("*/worker-*/home")  # of the job; it sees no other
        assert [path.name for path in (home / "intel").iterdir()] == ["openvino_telemetry"]
        assert (home / "intel" / "openvino_telemetry").read_text() == "0"


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_four_bits_that_the_library_left_at_eight_are_not_called_four(target: str, tmp_path: Path) -> None:
    """NNCF keeps the last layer at int8, so a model with one layer comes back without a single int4 weight."""
    weight = np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "one_layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    signature = Signature((TensorSpec("x", (None, 64), "float32"),), (TensorSpec("y", (None, 10), "float32"),))
    with Executor() as executor:
        files: tuple[Blob, ...] = (executor.add(path),)
        if target == "openvino":
            files = executor.run(ConvertJob("onnx>openvino", files, signature), conversion_context(None)).files
        eight = executor.run(QuantizeJob(f"{target}:int8-weights", files, signature, {}), conversion_context(None))
        assert eight.quantized_ops == 1
        with pytest.raises(JobFailed, match="nothing that"):
            executor.run(QuantizeJob(f"{target}:int4-weights", files, signature, {}), conversion_context(None))
