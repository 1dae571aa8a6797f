"""What `edgekit.inspect` says about real files, and that its code runs them without edgekit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import ModelError
from edgekit.inspection import Inspection
from edgekit.runtimes import OpenOptions, runtime_for
from tests import models

#: Runs the code of an inspection on the arrays of an .npz file; edgekit cannot be imported there.
HARNESS = """
import sys
sys.modules["edgekit"] = None
import numpy as np
scope = {}
exec(compile(open(sys.argv[1]).read(), "snippet.py", "exec"), scope)
arrays = dict(np.load(sys.argv[2]))
np.savez(sys.argv[3], **scope["predict"](arrays))
"""


def run_snippet(found: Inspection, inputs: models.Arrays, folder: Path) -> models.Arrays:
    script = folder / "snippet.py"
    script.write_text(found.snippet)
    np.savez(folder / "in.npz", **inputs)  # type: ignore[arg-type]  # numpy's stub takes names for its own options
    command = [sys.executable, "-c", HARNESS, str(script), str(folder / "in.npz"), str(folder / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "out.npz"))


def run_adapter(path: Path, inputs: models.Arrays) -> models.Arrays:
    runtime = runtime_for({".onnx": "onnx", ".xml": "openvino", ".tflite": "tflite", ".keras": "keras"}[path.suffix])
    with runtime.load()().open(path, OpenOptions()) as session:
        outputs: models.Arrays = session.run(inputs)
    return outputs


@pytest.mark.parametrize(
    ("fixture", "batch", "precision", "operators"),
    [
        ("twin_onnx", 3, "fp32", {"Gather", "MatMul", "Tanh"}),
        ("twin_openvino", 3, "fp32", {"Gather", "MatMul", "Tanh"}),
        ("twin_tflite", 3, "fp32", {"TANH"}),
        ("twin_tflite_fixed", 2, "fp32", {"TANH"}),
        ("twin_keras", 3, "fp32", {"Embedding", "Dense"}),
        ("dense_onnx", 3, "int8", {"QuantizeLinear", "MatMul"}),
        ("dense_openvino", 3, "int8", {"FakeQuantize", "MatMul"}),
        ("dense_tflite", 1, "int8", {"FULLY_CONNECTED"}),
    ],
)
def test_the_code_runs_the_file_alone(
    fixture: str, batch: int, precision: str, operators: set[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path: Path = request.getfixturevalue(fixture)
    inputs = models.twin_inputs(batch) if fixture.startswith("twin") else models.dense_inputs(batch)
    found = edgekit.inspect(path)
    assert found.precision == precision
    assert operators <= set(found.operators), found.operators
    assert {spec.name for spec in found.signature.inputs} == set(inputs)
    assert found.parameters
    assert found.size_bytes >= path.stat().st_size
    got, wanted = run_snippet(found, inputs, tmp_path), run_adapter(path, inputs)
    assert list(got) == [spec.name for spec in found.signature.outputs]
    for name, array in wanted.items():
        assert array.std() > 0
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-6)


def test_a_result_can_be_stored(twin_onnx: Path) -> None:
    document = edgekit.inspect(twin_onnx).to_json()
    assert document["schema"] == "edgekit.inspect/1"
    assert document["ok"] is True
    assert document["format"]["opset"].isdecimal()
    assert document["needs"] == "pip install 'edgekit[onnxruntime]'"


def test_quantized_ends_are_told(dense_tflite: Path) -> None:
    found = edgekit.inspect(dense_tflite)
    scale = found.quantization["x"].scale
    assert found.quantization["x"].dtype == "int8"
    assert 0.5 / 128 < scale < 4 / 128, "inputs lie between -1 and 1"
    assert repr(scale) in found.snippet


def test_external_data_is_found(twin_onnx: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(twin_onnx))
    path = tmp_path / "big.onnx"
    onnx.save(
        model, str(path), save_as_external_data=True, location="big.onnx.data", size_threshold=100
    )  # shapes stay inside
    found = edgekit.inspect(path)
    assert found.files == ("big.onnx", "big.onnx.data")
    assert found.parameters == edgekit.inspect(twin_onnx).parameters


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".tflite", ".keras"])
@pytest.mark.parametrize("content", ["garbage", "truncated", "empty"])
def test_a_broken_file_is_refused(suffix: str, content: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    kind = {".onnx": "onnx", ".xml": "openvino", ".tflite": "tflite", ".keras": "keras"}[suffix]
    whole: Path = request.getfixturevalue(f"twin_{kind}")
    data = whole.read_bytes()
    path = tmp_path / f"broken{suffix}"
    path.write_bytes({"garbage": b"\x07no model" * 50, "truncated": data[: len(data) // 2], "empty": b""}[content])
    path.with_suffix(".bin").write_bytes(b"\0" * 64)
    with pytest.raises(ModelError) as caught:
        edgekit.inspect(path)
    assert caught.value.hint
    assert "Traceback" not in str(caught.value)


def test_the_three_formats_of_one_model_count_the_same_operations(
    dense_onnx: Path, dense_openvino: Path, dense_tflite: Path
) -> None:
    counts = {edgekit.inspect(path).flops for path in (dense_onnx, dense_openvino, dense_tflite)}
    assert len(counts) == 1
    assert counts != {None}
    assert counts != {0}


def test_weights_that_lie_elsewhere(twin_openvino: Path, tmp_path: Path) -> None:
    lone = tmp_path / "lone.xml"
    lone.write_bytes(twin_openvino.read_bytes())
    with pytest.raises(ModelError, match=r"lone\.bin"):
        edgekit.inspect(lone)


def test_what_is_no_model_file(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"x")
    for path, code in (
        (tmp_path / "absent.onnx", "no-model-file"),
        (tmp_path, "unknown-model-kind"),
        (tmp_path / "model.h5", "unknown-model-kind"),
    ):
        with pytest.raises(ModelError) as caught:
            edgekit.inspect(path)
        assert caught.value.code == code
        assert ".onnx, .xml, .tflite" in caught.value.hint


def test_the_host_stays_light(twin_onnx: Path) -> None:
    code = (
        "import sys, edgekit\n"
        f"edgekit.inspect({str(twin_onnx)!r})\n"
        "heavy = {'onnxruntime', 'onnx', 'openvino', 'keras', 'torch', 'jax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ai_edge_quantizer")
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("dynamic_wi8_afp32", "int8-dynamic"),
        ("weight_only_wi8_afp32", "int8-weights"),
        ("weight_only_wi4_afp32", "int4-weights"),
    ],
)
def test_precisions_of_tflite_weights(name: str, precision: str, twin_tflite: Path, tmp_path: Path) -> None:
    from ai_edge_quantizer import quantizer, recipe

    work = quantizer.Quantizer(str(twin_tflite))
    work.load_quantization_recipe(getattr(recipe, name)())
    path = tmp_path / "quantized.tflite"
    work.quantize().export_model(str(path))
    assert edgekit.inspect(path).precision == precision


def test_half_precision_of_openvino(twin_openvino: Path, tmp_path: Path) -> None:
    import openvino

    path = tmp_path / "half.xml"
    openvino.save_model(openvino.Core().read_model(twin_openvino), path, compress_to_fp16=True)
    assert edgekit.inspect(path).precision == "fp16"
