"""`edgekit.check` as a function: which stage is to blame, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.checked import Blame, CheckRow
from edgekit.errors import ModelError, UsageError
from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit, digest_of
from tests import models
from tests.cli.command import copied, snapshot

ROOT = Path(__file__).resolve().parents[1]


def stages_of(row: CheckRow) -> dict[str, str]:
    return {stage.stage: stage.verdict for stage in row.stages}


def replaced(kit: Path, name: str, files: list[Path], parent: str | None = None) -> str:
    """Put other files in the place of an artifact; what they hold is what the manifest says."""
    opened = Kit.open(kit)
    artifact = next(one for one in opened.artifacts if one.name == name)
    blobs = tuple(blob_of(file) for file in files)
    other = replace(artifact, files=blobs, sha256=digest_of(blobs), parent=parent or artifact.parent)
    opened.commit(artifacts=[(other, files)])
    return other.sha256


def broken_export(kit: Path, folder: Path) -> Path:
    """The kit's fp32 ONNX file with one convolution scaled."""
    path = Path(shutil.copy(next((kit / "artifacts").glob("onnx-fp32-*/model.onnx")), folder))
    command = [sys.executable, "-m", "tests.attribution.plant", "onnx", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    return path


def broken_quantization(kit: Path, folder: Path) -> Path:
    """The kit's int8 ONNX file with the largest weights decoded by a scale that is four times too large."""
    import onnx
    from onnx import numpy_helper

    (folder / "int8").mkdir()
    path = Path(shutil.copy(next((kit / "artifacts").glob("onnx-int8-*/model.onnx")), folder / "int8"))
    model = onnx.load(path)
    held = {weight.name: weight for weight in model.graph.initializer}
    decoded = [
        node
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and len(held.get(node.input[0], onnx.TensorProto()).dims) > 1
    ]
    scale = held[max(decoded, key=lambda node: np.prod(held[node.input[0]].dims)).input[1]]
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(4), scale.name))
    onnx.save(model, path)
    return path


def test_quantization_is_to_blame_when_its_parent_holds(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    (row,) = edgekit.check(kit, target="onnx", precision="int8", tolerance=1e-7).results
    assert (row.verdict, row.culprit) == ("failed", "quantize")
    assert "is over 1e-07" in row.reasons[0]


def test_the_export_is_to_blame_when_the_parent_differs_too(digits_kit: Path, tmp_path: Path) -> None:
    """Held against a network with other weights, both differ."""
    import onnx
    from onnx import numpy_helper

    kit = copied(digits_kit, tmp_path)
    model = onnx.load(next((kit / "artifacts").glob("onnx-fp32-*/model.onnx")))
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype.kind == "f" and array.ndim > 1:
            weight.CopyFrom(numpy_helper.from_array(array[..., ::-1].copy(), weight.name))
    onnx.save(model, tmp_path / "other.onnx")
    result = edgekit.check(kit, against=tmp_path / "other.onnx", target="onnx", precision="int8")
    assert not result.ok
    assert result.results[0].blame is not None
    assert result.results[0].blame.stage == "export"


def test_a_comparison_with_something_else_is_not_stored(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    stored = len(list((kit / "results").iterdir()))
    other = next((kit / "artifacts").glob("openvino-fp32-*"))
    edgekit.check(kit, against=other, target="onnx", precision="fp32")
    assert len(list((kit / "results").iterdir())) == stored
    edgekit.check(kit, target="onnx", precision="fp32")
    assert len(list((kit / "results").iterdir())) == stored + 1


def test_a_file_of_its_own_needs_something_to_compare_with(twin_onnx: Path) -> None:
    with pytest.raises(UsageError) as error:
        edgekit.check(twin_onnx)
    assert error.value.code == "nothing-to-compare"


def test_data_need_the_source_that_was_exported(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    manifest = kit / "kit.json"
    manifest.write_text(manifest.read_text().replace(str(digits / "digits.keras"), str(tmp_path / "gone.keras")))
    assert edgekit.check(kit, target="onnx", precision="fp32").ok  # golden samples travel without it
    with pytest.raises(ModelError) as error:
        edgekit.check(kit, target="onnx", precision="fp32", data=digits / "test.npz", labels="label")
    assert error.value.code == "source-changed"


def test_each_stage_is_held_against_the_one_before_it_and_against_the_source(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    fp32, int8 = edgekit.check(kit, target="onnx").results
    assert fp32.stages == (), "an export that holds has nothing to tell"
    export, quantize = int8.stages
    assert (export.stage, quantize.stage) == ("export", "quantize")
    assert export.against_parent == export.against_source
    assert export.artifact == fp32.artifact
    assert quantize.against_source is not None
    assert quantize.against_parent is not None
    assert quantize.against_source.sqnr_db == pytest.approx(int8.outputs[0].sqnr_db)
    assert quantize.against_parent.sqnr_db != quantize.against_source.sqnr_db
    assert export.against_source is not None
    assert export.against_source.sqnr_db == pytest.approx(fp32.outputs[0].sqnr_db)
    assert int8.blame is None
    alone = edgekit.check(kit, target="onnx", precision="int8").results[0]
    assert alone.stages == int8.stages, "the parent runs where it was not asked for"


@pytest.mark.slow
def test_the_first_of_two_broken_stages_is_named(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    int8 = broken_quantization(kit, tmp_path)
    parent = replaced(kit, "onnx fp32", [broken_export(kit, tmp_path)])
    replaced(kit, "onnx int8", [int8], parent)
    fp32, quantized = edgekit.check(kit, target="onnx").results
    assert stages_of(quantized) == {"export": "failed", "quantize": "failed"}
    assert quantized.blame is not None
    assert fp32.blame is not None
    assert quantized.blame.stage == fp32.blame.stage == "export"
    assert quantized.culprit == str(quantized.blame) == fp32.culprit, "it is the same fault"
    assert fp32.blame.layer == "conv2d_2"


def test_a_quantization_that_breaks_is_told_from_its_parent(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    replaced(kit, "onnx int8", [broken_quantization(kit, tmp_path)])
    (row,) = edgekit.check(kit, target="onnx", precision="int8").results
    assert stages_of(row) == {"export": "verified", "quantize": "failed"}
    assert row.blame is not None
    assert row.blame.stage == "quantize"


def test_a_device_is_the_last_stage(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    (row,) = edgekit.check(kit, target="onnx", precision="fp32", device="local?threads=1").results
    export, device = row.stages
    assert (export.stage, device.stage) == ("export", "device")
    assert device.against_parent is not None
    assert device.against_parent.verdict == "verified"
    assert device.against_source is not None
    assert device.against_source.sqnr_db == pytest.approx(row.outputs[0].sqnr_db)


def test_a_parent_that_was_changed_blames_nobody(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    parent = next((kit / "artifacts").glob("onnx-fp32-*/model.onnx"))
    parent.write_bytes(parent.read_bytes() + b"\0")
    (row,) = edgekit.check(next((kit / "artifacts").glob("onnx-int8-*"))).results
    assert row.verdict != "failed"
    assert stages_of(row)["export"] == "error"
    assert "is not what edgekit wrote" in row.stages[0].reasons[0]
    assert row.stages[1].against_parent is None
    assert row.stages[1].against_source is not None


def test_two_files_outside_any_kit_are_compared_on_data(twin_onnx: Path, twin_openvino: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **models.twin_inputs(40))
    result = edgekit.check(twin_onnx, against=twin_openvino, data=tmp_path / "data.npz")
    (row,) = result.results
    assert (result.verdict, result.evidence.inputs, result.evidence.samples) == ("verified", "real", 40)
    assert result.kit is None
    assert {output.name for output in row.outputs} == set(models.OUTPUTS)
    assert all(output.max_abs is not None and output.max_abs > 0 for output in row.outputs), "two engines ran"


def test_without_data_inputs_are_generated_from_the_reference(twin_onnx: Path, twin_openvino: Path) -> None:
    result = edgekit.check(twin_openvino, against=twin_onnx, layers=True)
    assert (result.verdict, result.evidence.inputs) == ("verified", "generated")
    (row,) = result.results
    assert sum(layer.good is True for layer in row.layers) >= 3
    assert not any(layer.good is False for layer in row.layers)


def test_a_file_is_traced_to_the_operator_of_another_file(
    digits_kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = snapshot(digits_kit)
    good = next((digits_kit / "artifacts").glob("onnx-fp32-*/model.onnx"))
    (row,) = edgekit.check(broken_export(digits_kit, tmp_path), against=good).results
    assert row.verdict == "failed"
    assert row.blame is not None
    assert row.blame.operator is not None
    assert "conv2d_2" in row.blame.operator
    assert row.failing is not None
    done = subprocess.run([sys.executable, Path(row.failing.folder) / "reproduce.py"], capture_output=True, check=False)
    assert done.returncode == 1
    assert snapshot(digits_kit) == before


def test_a_file_of_its_own_is_judged_by_what_it_holds(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    int8 = shutil.copy(next((digits_kit / "artifacts").glob("onnx-int8-*/model.onnx")), tmp_path / "small.onnx")
    fp32 = next((digits_kit / "artifacts").glob("openvino-fp32-*/model.xml"))
    data = {"data": digits / "test.npz", "labels": "label"}
    (row,) = edgekit.check(int8, against=fp32, **data).results
    assert (row.precision, row.verdict) == ("int8", "verified")
    (row,) = edgekit.check(int8, against=fp32, precision="fp32", **data).results
    assert (row.precision, row.verdict) == ("fp32", "failed"), "the user says what it should be"
    with pytest.raises(UsageError) as error:
        edgekit.check(int8, against=fp32, precision="int7")
    assert error.value.code == "unknown-precision"
    stray = shutil.copy(next((digits_kit / "artifacts").glob("tflite-fp32-*/model.tflite")), tmp_path)
    with pytest.raises(UsageError) as error:
        edgekit.check(int8, against=stray)
    assert error.value.code == "no-samples"


def test_golden_inputs_of_a_kit_are_used_against_a_file(digits_kit: Path, tmp_path: Path) -> None:
    onnx, tflite = (next((digits_kit / "artifacts").glob(f"{name}-fp32-*/model.*")) for name in ("onnx", "tflite"))
    stray = shutil.copy(tflite, tmp_path)
    for one, other in ((onnx, stray), (stray, onnx)):
        result = edgekit.check(one, against=other)
        assert (result.verdict, result.evidence.inputs) == ("verified", "real")


def test_a_copy_under_another_name_is_the_same_artifact(digits_kit: Path, tmp_path: Path) -> None:
    onnx = next((digits_kit / "artifacts").glob("onnx-fp32-*/model.onnx"))
    with pytest.raises(UsageError) as error:
        edgekit.check(shutil.copy(onnx, tmp_path / "copy.onnx"), against=onnx)
    assert error.value.code == "same-artifact"


def test_a_culprit_in_words() -> None:
    assert str(Blame("runtime")) == "runtime"
    assert str(Blame("export", None, "Conv", "op7")) == "export: Conv op7"
    assert str(Blame("export", "a", "Conv", "op7", ("b", "c"))) == "export: layer a with b, c fused into it (Conv op7)"


@pytest.mark.slow
def test_what_was_quantized_with_data_is_not_blamed_for_generated_inputs(digits: Path, tmp_path: Path) -> None:
    """The kit was exported without data; generated inputs lie outside the ranges of the calibration."""
    kit = tmp_path / "kit"
    assert edgekit.export(digits / "digits.keras", "onnx", output=kit).evidence.inputs == "generated"
    made = edgekit.quantize(kit, data=digits / "train.npz", labels="label", trials=1, pays=False)
    result = edgekit.check(kit)
    assert made.ok
    assert result.ok
    assert (result.evidence.inputs, result.evidence.samples) == ("real", 32)
