"""`edgekit.bench`: which stored rows a timing is held against."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import edgekit
from edgekit.devices import open_device
from edgekit.errors import JobCrashed, MissingError, UsageError
from edgekit.latency.bench import timing_row
from edgekit.latency.stored import compared, read_timings
from edgekit.results import BenchResult
from edgekit.samples import save_npz
from edgekit.types import Evidence
from tests.latency.made import measured, row, speeds
from tests.models import twin_inputs


def test_a_row_is_no_regression_against_itself() -> None:
    one = row(speeds(1.0))
    (comparison,) = compared([one], [one], 0.05)
    assert comparison.answer == "no difference shown"
    assert not comparison.regression


def test_twice_the_time_is_a_regression() -> None:
    (comparison,) = compared([row(speeds(2.0))], [row(speeds(1.0))], 0.05)
    assert (comparison.answer, comparison.regression) == ("slower", True)
    assert comparison.ratio == pytest.approx(2.0, rel=0.05)


def test_rows_are_matched_by_model_target_and_precision() -> None:
    fast, slow = row(speeds(1.0)), row(speeds(9.0), precision="int8")
    other, foreign = row(speeds(1.0), target="tflite"), replace(row(speeds(1.0)), source="other.keras")
    found, unmatched, another = compared([fast, other, foreign], [slow, fast], 0.05)
    assert found.ratio == pytest.approx(1.0)
    for lonely in (unmatched, another):
        assert lonely.answer == "not comparable"
        assert "the baseline holds no" in lonely.reasons[0]


def test_of_several_rows_that_of_the_same_device_and_runtime_counts() -> None:
    here = row(speeds(1.0))
    gpu, board = replace(row(speeds(0.1)), runtime="onnxruntime:CUDA"), row(speeds(5.0), device="ssh://pi")
    for order in ([here, gpu, board], [board, gpu, here]):
        found = compared(order, order[::-1], 0.05)
        assert [one.answer for one in found] == ["no difference shown"] * 3
        assert [one.ratio for one in found] == pytest.approx([1.0] * 3)


def test_a_gate_that_compared_nothing_is_not_passed_in_strict(twin_onnx: Path, tmp_path: Path) -> None:
    save_npz(tmp_path / "data.npz", twin_inputs(4).items())
    foreign = replace(row(speeds(1.0)), source="other.keras")
    stored = BenchResult(True, "verified", Evidence("real", 3, ()), None, (foreign,))
    (tmp_path / "base.json").write_text(json.dumps(stored.to_json()))
    result = edgekit.bench(
        twin_onnx,
        data=tmp_path / "data.npz",
        max_seconds=0.3,
        baseline=tmp_path / "base.json",
        max_regression=0.05,
        strict=True,
    )
    assert [one.answer for one in result.comparisons] == ["not comparable"]
    assert result.verdict == "weak"
    assert not result.ok


def test_a_stored_result_reads_back(tmp_path: Path) -> None:
    result = BenchResult(True, "verified", Evidence("real", 3, ()), None, (row(speeds(1.0)),))
    (tmp_path / "base.json").write_text(json.dumps(result.to_json()))
    assert read_timings(tmp_path / "base.json") == result.results


@pytest.mark.parametrize("text", ["", "[1]", '{"schema": "edgekit.check/1"}', '{"schema": "edgekit.bench/1", "ok": 3}'])
def test_what_is_no_baseline(text: str, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text(text)
    with pytest.raises(UsageError) as error:
        read_timings(tmp_path / "base.json")
    assert error.value.code == "bad-result"


def test_a_device_that_disappears_leaves_a_row_with_what_was_taken(twin_onnx: Path) -> None:
    gone = JobCrashed("crashed", "the device is gone.", hint="Run it again.")
    left = measured(speeds(1.0, 3), converged=False, error=gone, notes=("it ended early, after 3 openings.",))
    (kept,) = [timing_row(left, open_device("local"), str(twin_onnx), "onnx", "fp32")]
    assert kept.verdict == "error"
    assert kept.reasons == ("it ended early, after 3 openings.", "the device is gone.")
    assert (kept.openings, kept.latency_ms) == (3, left.latency_ms)


def test_an_accelerator_that_is_not_here_is_the_answer(twin_onnx: Path, twin_tflite: Path, tmp_path: Path) -> None:
    save_npz(tmp_path / "data.npz", twin_inputs(4).items())
    options = {"data": tmp_path / "data.npz", "max_seconds": 0.3}
    with pytest.raises(MissingError) as caught:
        edgekit.bench(twin_tflite, runtime="tflite:NPU", **options)
    assert caught.value.code == "accelerator-missing"
    result = edgekit.bench([twin_onnx, twin_tflite], runtime=["tflite:NPU", "onnxruntime"], **options)
    assert {one.runtime: one.verdict == "error" for one in result.results} == {"tflite:NPU": True, "onnxruntime": False}


def test_two_kits_are_timed_side_by_side(twin_onnx: Path, twin_openvino: Path, tmp_path: Path) -> None:
    save_npz(tmp_path / "data.npz", twin_inputs(4).items())
    result = edgekit.bench([twin_onnx, twin_openvino], data=tmp_path / "data.npz", max_seconds=0.3)
    assert [one.runtime for one in result.results] == ["onnxruntime", "openvino"]
    assert all(one.latency_ms is not None for one in result.results)
    assert result.kit is None
