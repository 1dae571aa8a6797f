"""What artifacts are timed on, and options that do not fit them: refused before anything is timed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.errors import UsageError
from edgekit.results import BenchResult
from edgekit.samples import save_npz
from tests.models import twin_inputs

SHORT = 0.3


@pytest.fixture
def free_size(tmp_path: Path) -> Path:
    """An operator with a free batch and a free length."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Exp", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "length", 2])],
    )
    path = tmp_path / "free.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def data(folder: Path) -> Path:
    save_npz(folder / "data.npz", twin_inputs(4).items())
    return folder / "data.npz"


def test_a_file_outside_a_kit_runs_on_generated_inputs_of_the_size_that_was_asked_for(free_size: Path) -> None:
    result = edgekit.bench(free_size, inputs=["x=3x500x2"], max_seconds=SHORT)
    (row,) = result.results
    assert row.latency_ms is not None, row.reasons
    assert row.batch == 3
    assert (result.evidence.inputs, result.evidence.shapes) == ("generated", ("x=500x2",))


@pytest.mark.slow
def test_a_kit_runs_at_the_batch_that_was_asked_for(digits_kit: Path) -> None:
    result = edgekit.bench(digits_kit, precision="fp32", inputs=["image=4x8x8x1"], max_seconds=SHORT)
    found = {row.target: (row.batch, row.latency_ms is not None) for row in result.results}
    assert found["onnx"] == found["openvino"] == (4, True)
    assert not found["tflite"][1], "its batch is fixed to 1"
    with pytest.raises(UsageError) as caught:
        edgekit.bench(digits_kit, inputs=["image=1x9x9x1"])
    assert caught.value.code == "wrong-pin"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"inputs": ["x=3x500x2"], "batch": 4}, "two-batches"),
        ({"inputs": ["x=?x?x2"]}, "no-samples"),
        ({"inputs": ["z=1x5x2"]}, "unknown-input"),
        ({"inputs": ["x=1x5x3"]}, "wrong-pin"),
        ({"inputs": ["x=1x5x2:int8"]}, "contradictory-input"),
        ({"inputs": ["x"]}, "bad-input-option"),
        ({"inputs": ["x=1x5x2"], "data": "data.npz"}, "two-sizes"),
        ({}, "no-samples"),
        ({"inputs": ["x=1x5x2"], "threads": 0}, "bad-threads"),
        ({"inputs": ["x=1x5x2"], "threads": 10**6}, "too-many-threads"),
        ({"inputs": ["x=1x5x2"], "cpus": "5000"}, "no-such-cpu"),
        ({"inputs": ["x=1x5x2"], "streams": 2}, "streams-without-throughput"),
        ({"inputs": ["x=1x5x2"], "scenario": "throughput", "threads": 2, "streams": 3}, "too-many-streams"),
    ],
)
def test_options_that_do_not_fit_are_refused(free_size: Path, options: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        edgekit.bench(free_size, max_seconds=SHORT, **options)
    assert (caught.value.code, caught.value.exit_code) == (code, 2)


def test_a_fixed_batch_is_used_and_no_other(twin_onnx_fixed: Path, tmp_path: Path) -> None:
    result = edgekit.bench(twin_onnx_fixed, data=data(tmp_path), max_seconds=SHORT)
    assert (result.results[0].batch, result.results[0].latency_ms is not None) == (2, True)
    with pytest.raises(UsageError, match="takes a batch of 2 only") as caught:
        edgekit.bench(twin_onnx_fixed, data=data(tmp_path), batch=4, max_seconds=SHORT)
    assert caught.value.code == "fixed-batch"


def test_a_batch_that_one_of_two_cannot_take_is_the_error_of_that_one(
    twin_onnx: Path, twin_onnx_fixed: Path, tmp_path: Path
) -> None:
    result = edgekit.bench([twin_onnx, twin_onnx_fixed], data=data(tmp_path), batch=3, max_seconds=SHORT)
    free, fixed = result.results
    assert (free.batch, free.latency_ms is not None) == (3, True)
    assert fixed.verdict == "error"
    assert not result.ok


def test_a_pinned_timing_without_copies_says_so(twin_onnx: Path, tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))

    def timed(**options: Any) -> BenchResult:
        result: BenchResult = edgekit.bench(twin_onnx, data=data(tmp_path), max_seconds=SHORT, **options)
        return result

    (plain,), (bound,) = timed().results, timed(zero_copy=True, cpus="one", threads=1).results
    assert (plain.input_copy, bound.input_copy) == ("outputs", "nothing")
    assert bound.environment["cpus_used"] == "1"
    if len(os.sched_getaffinity(0)) > 1:
        assert bound.environment["cpus"] != str(cpu), "the first CPU serves interrupts"
