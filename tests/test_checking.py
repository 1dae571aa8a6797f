"""`edgekit.check` as a function: which stage is to blame, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgekit
from edgekit.errors import ModelError, UsageError
from tests.cli.command import copied


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
    assert result.results[0].culprit == "export"


def test_a_comparison_with_something_else_is_not_stored(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    stored = len(list((kit / "results").iterdir()))
    other = next((kit / "artifacts").glob("openvino-fp32-*"))
    edgekit.check(kit, against=other, target="onnx", precision="fp32")
    assert len(list((kit / "results").iterdir())) == stored
    edgekit.check(kit, target="onnx", precision="fp32")
    assert len(list((kit / "results").iterdir())) == stored + 1


def test_a_file_of_its_own_needs_something_to_compare_with(twin_onnx: Path, twin_openvino: Path) -> None:
    with pytest.raises(UsageError) as error:
        edgekit.check(twin_onnx)
    assert error.value.code == "nothing-to-compare"
    with pytest.raises(UsageError) as error:
        edgekit.check(twin_onnx, against=twin_openvino)
    assert error.value.code == "no-samples"


def test_data_need_the_source_that_was_exported(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    manifest = kit / "kit.json"
    manifest.write_text(manifest.read_text().replace(str(digits / "digits.keras"), str(tmp_path / "gone.keras")))
    assert edgekit.check(kit, target="onnx", precision="fp32").ok  # golden samples travel without it
    with pytest.raises(ModelError) as error:
        edgekit.check(kit, target="onnx", precision="fp32", data=digits / "test.npz", labels="label")
    assert error.value.code == "source-changed"
