"""What is particular to one engine; what all share is in ``tests/conformance``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import DataError, MissingError, ModelError
from edgekit.runtimes import RUNTIMES, OpenOptions, Session
from edgekit.runtimes.environment import probe
from edgekit.runtimes.onnx_providers import Witness
from edgekit.runtimes.onnx_types import weight_formats
from edgekit.runtimes.onnxruntime_ import OnnxSession
from edgekit.types import Reading
from tests import models
from tests.runtimes import typed

BF16 = bool({"avx512_bf16", "amx_bf16"} & set(probe().features))


def open_with(name: str, path: Path, **options: Any) -> Session:
    runtime = RUNTIMES[name].load()()
    session: Session = runtime.open(path, OpenOptions(**options))
    return session


def signal_to_noise_db(got: np.ndarray, expected: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(expected**2) / np.sum((expected - got) ** 2)))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_int8_is_reported_and_computed(name: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue("dense_onnx" if name == "onnxruntime" else "dense_openvino")
    inputs = models.dense_inputs(16)
    with open_with(name, path) as session:
        quality = signal_to_noise_db(session.run(inputs)["y"], models.dense_outputs(inputs)["y"])
        precision = session.effective().precision
    assert 30 < quality < 60, "int8 differs from float32, and not by much"
    assert precision.value is not None
    assert "i8" in precision.value.split("+")


def test_tflite_int8_inputs_and_outputs_appear_as_float(dense_tflite: Path) -> None:
    inputs = models.dense_inputs(1)
    with open_with("tflite", dense_tflite) as session:
        assert [str(spec) for spec in session.signature.inputs] == ["x=1x32:float32"]
        assert [str(spec) for spec in session.signature.outputs] == ["y=1x16:float32"]
        outputs = session.run(inputs)
        assert outputs["y"].dtype == np.float32
        quality = signal_to_noise_db(outputs["y"], models.dense_outputs(inputs)["y"])
        assert 25 < quality < 60
        raw = session.prepare(inputs)()
        assert isinstance(raw, list)
        assert raw[0].dtype == np.int8, "a timing leaves the conversion to the application"
        assert session.effective().precision == Reading("i8", "inferred")


def test_tflite_saturates_where_the_input_is_out_of_range(dense_tflite: Path) -> None:
    with open_with("tflite", dense_tflite) as session:
        largest = session.run({"x": np.full((1, 32), 1.0, np.float32)})["y"]
        beyond = session.run({"x": np.full((1, 32), 50.0, np.float32)})["y"]
    step = np.abs(largest).max() / 20
    np.testing.assert_allclose(beyond, largest, atol=step)


def test_openvino_computes_in_the_precision_that_was_asked_for(artifacts: Path) -> None:
    path = models.dense_openvino(artifacts / "dense-float.xml", quantized=False)
    inputs = models.dense_inputs(64)
    expected = models.dense_outputs(inputs)["y"]
    with open_with("openvino", path) as session:
        np.testing.assert_allclose(session.run(inputs)["y"], expected, atol=1e-5)
        assert session.effective().precision == Reading("f32", "engine")
    with open_with("openvino", path, precision=None) as session:
        quality = signal_to_noise_db(session.run(inputs)["y"], expected)
        value = session.effective().precision.value
    if BF16:
        assert quality < 70
        assert value is not None
        assert "bf16" in value
    else:
        assert value == "f32"


def test_onnxruntime_never_sends_samples_to_a_service(twin_onnx: Path) -> None:
    with pytest.raises(MissingError):
        open_with("onnxruntime", twin_onnx, accelerator="Azure")


def test_onnxruntime_falling_back_to_the_cpu_is_an_error(twin_onnx: Path) -> None:
    import onnxruntime

    provider = "AzureExecutionProvider"  # part of the plain build, and takes no operator of this model
    settings = onnxruntime.SessionOptions()
    witness = Witness(settings)
    engine = onnxruntime.InferenceSession(str(twin_onnx), settings, providers=[provider])
    with OnnxSession(engine, twin_onnx, witness, provider) as session:
        assert session.effective().precision == Reading(None, "not reported"), "nobody knows what it computes in"
        with pytest.raises(MissingError) as caught:
            session.run(models.twin_inputs(1))
    assert caught.value.code == "accelerator-missing"
    assert "CPU" in caught.value.message


def test_onnxruntime_reports_where_operators_run(twin_onnx: Path) -> None:
    with open_with("onnxruntime", twin_onnx, accelerator="cpu") as session:
        assert session.effective().placement == Reading("CPU", "engine")


def test_onnxruntime_quotes_the_reason_for_a_refusal(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Frobnicate", ["x"], ["y"], domain="made.up")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "unknown.onnx"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("made.up", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    with pytest.raises(ModelError) as caught:
        open_with("onnxruntime", path)
    assert caught.value.code == "unloadable-artifact"
    assert "Frobnicate" in caught.value.message
    assert "ONNXRuntimeError" not in caught.value.message
    assert caught.value.__cause__ is not None


def test_an_engine_that_fails_at_inference_is_quoted(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [onnx.numpy_helper.from_array(np.array([1, 4]), "shape")],
    )
    path = tmp_path / "reshape.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    with open_with("onnxruntime", path) as session, pytest.raises(ModelError) as caught:
        session.run({"x": np.zeros((3, 4), np.float32)})
    assert caught.value.code == "inference-failed"
    assert caught.value.received == "x=3x4:float32"


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tflite"])
@pytest.mark.parametrize("dtype", typed.DTYPES)
def test_every_type_of_numbers_goes_in_and_comes_out_as_it_was(name: str, dtype: str, tmp_path: Path) -> None:
    path = typed.same(name, dtype, tmp_path)
    kind = np.dtype(dtype).kind
    values = [0, 1, 1, 0] if kind == "b" else [0, 1, 100, 7] if kind == "u" else [0, -1, 100, -7]
    array = np.array([values], dtype)
    with open_with(name, path) as session:
        assert [str(spec) for spec in session.signature.inputs] == [f"x=1x4:{dtype}"]
        assert [str(spec) for spec in session.signature.outputs] == [f"y=1x4:{dtype}"]
        outputs = session.run({"x": array})
        assert outputs["y"].dtype == array.dtype
        np.testing.assert_array_equal(outputs["y"], array)


@pytest.mark.skipif(not typed.RESIDENT.is_file(), reason="needs /proc")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tflite"])
def test_closing_frees_the_memory_of_the_engine(name: str, tmp_path: Path) -> None:
    path = typed.heavy(name, tmp_path)
    kept = []
    used = []
    for _ in range(8):
        session = open_with(name, path, threads=1)
        session.run({"x": np.zeros((1, typed.HEAVY), np.float32)})
        opened = typed.resident_bytes()
        session.close()
        kept.append(session)  # what is closed may live on
        used.append((opened, typed.resident_bytes()))
    size = 4 * typed.HEAVY
    assert used[0][0] - used[0][1] > size / 2, "an open one holds its weights at least, or the test shows nothing"
    assert used[-1][1] - used[1][1] < 2 * size, "six closed ones would hold six times their weights"


def test_onnxruntime_passes_text_where_it_is_asked_to(tmp_path: Path) -> None:
    path = typed.text_and_list(tmp_path)
    with pytest.raises(ModelError) as caught:
        open_with("onnxruntime", path)
    assert caught.value.code == "unsupported-dtype"
    words = np.array([["wo", "rt"], ["ü", ""]])
    with open_with("onnxruntime", path, any_values=True) as session:
        assert [str(spec) for spec in session.signature.inputs] == ["text=?x2:str"]
        assert [str(spec) for spec in session.signature.outputs] == ["twice=?x2:str", "rows=scalar:seq(tensor(string))"]
        for given in (words, words.astype(object)):
            outputs = session.run({"text": given})
            assert outputs["twice"].tolist() == [["wowo", "rtrt"], ["üü", ""]]
            assert [part.tolist() for part in outputs["rows"]] == [[["wo", "rt"]], [["ü", ""]]]
        with pytest.raises(DataError) as refused:
            session.run({"text": np.zeros((1, 2), np.float32)})
        assert refused.value.code == "wrong-dtype"
        assert session.effective().precision == Reading(None, "not reported")


def test_weight_formats_are_read_from_the_file(twin_onnx: Path, dense_onnx: Path, tmp_path: Path) -> None:
    assert weight_formats(twin_onnx) == {"f32"}
    assert weight_formats(dense_onnx) == {"f32", "i8"}
    path = tmp_path / "half.onnx"
    _half_precision(path)
    assert weight_formats(path) == {"f16"}
    with open_with("onnxruntime", path) as session:
        assert session.effective().precision == Reading("f16", "inferred")


def test_weight_formats_of_no_model_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="byte"):
        weight_formats(path)


def _half_precision(path: Path) -> None:
    """Float32 outside, float16 inside, the weights in a Constant node: nothing of it shows in the signature."""
    import onnx
    from onnx import TensorProto, helper

    weights = onnx.numpy_helper.from_array(np.ones((4, 2), np.float16), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["w"], value=weights),
            helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
            helper.make_node("MatMul", ["h", "w"], ["p"]),
            helper.make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
