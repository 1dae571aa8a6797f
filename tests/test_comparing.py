"""`edgekit.compare`: artifacts in turns, and results of earlier days."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import edgekit
from edgekit.errors import UsageError
from edgekit.figures import BenchRow
from edgekit.jobs.codec import from_json
from edgekit.latency.measured import EMULATED
from edgekit.report.terminal import view
from edgekit.results import BenchResult, CompareResult
from edgekit.runtimes.environment import SOFTWARE_GPU_VARIABLE
from edgekit.runtimes.pairing import TURN_RUNS
from edgekit.samples import save_npz
from edgekit.sides import partners
from edgekit.types import Evidence
from tests.cli.command import edgekit as command
from tests.latency.made import row, speeds
from tests.models import twin_inputs


def chain(path: Path, length: int, batch: str | int = "batch") -> Path:
    """A model whose time grows with its length."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    nodes = [helper.make_node("MatMul", [f"x{step}", "w"], [f"x{step + 1}"]) for step in range(length)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 64]) for name in ("x0", f"x{length}")]
    graph = helper.make_graph(nodes, "chain", [ends[0]], [ends[1]], [weights])
    save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A short model, one that takes many times as long, and samples for both."""
    np.savez(tmp_path / "data.npz", x0=np.random.default_rng(0).random((4, 64), dtype=np.float32))
    return chain(tmp_path / "short.onnx", 4), chain(tmp_path / "long.onnx", 200), tmp_path / "data.npz"


def stored(path: Path, *rows: BenchRow) -> Path:
    result = BenchResult(True, "verified", Evidence("real", 3, ()), None, rows)
    path.write_text(json.dumps(result.to_json()))
    return path


def test_a_slower_model_is_a_regression_and_its_summary_says_so(
    models: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    short, long, data = models
    words = ("--data", data, "--threads", "1", "--max-seconds", "8", "--max-regression", "5%", "-o", "summary.md")
    done = command("compare", short, long, *words, "--json", cwd=tmp_path)
    assert done.code == 1, done.err
    result = from_json(CompareResult, {key: value for key, value in done.document.items() if key != "schema"})
    (found,) = result.comparisons
    assert (result.verdict, found.answer, found.regression) == ("failed", "slower", True)
    assert found.ratio is not None
    assert found.ci95 is not None
    assert 1.05 < found.ci95[0] <= found.ratio <= found.ci95[1]
    assert found.minimum_detectable is not None
    assert found.rounds is not None
    assert len(result.base_results[0].opening_p50_ms) == found.rounds
    summary = (tmp_path / "summary.md").read_text()
    assert "## Speed: 1 regression" in summary
    assert "**regression**" in summary
    assert "beyond the accepted 1.05" in summary
    assert "size" in summary


def test_the_same_file_is_not_called_slower_beyond_a_wide_limit(models: tuple[Path, Path, Path]) -> None:
    short, _, data = models
    result = edgekit.compare(short, short, data=data, threads=1, max_seconds=6, max_regression=10.0)
    assert result.ok
    assert not result.comparisons[0].regression
    shown = Console(width=110, file=io.StringIO(), record=True)
    shown.print(view(result))
    assert "the same file" in shown.export_text()


def test_an_artifact_takes_the_settings_of_what_was_stored(models: tuple[Path, Path, Path], tmp_path: Path) -> None:
    short, long, data = models
    earlier = edgekit.bench(short, data=data, threads=1, batch=2, max_seconds=1.5)
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps(earlier.to_json()))
    result = edgekit.compare(path, long, data=data, max_seconds=1.5)
    (now,) = result.new_results
    assert (now.threads, now.batch, now.scenario, now.device) == (1, 2, "latency", "local")
    (found,) = result.comparisons
    assert found.rounds is None
    assert found.ratio is None or found.ratio > 1
    other = edgekit.compare(path, short, data=data, batch=1, max_seconds=0.5)
    assert other.comparisons[0].answer == "not comparable"
    assert "the batch differs: 1 now, 2 in the baseline." in other.comparisons[0].reasons


def test_two_results_are_compared_without_running_anything(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", row(speeds(1.0, seed=1)))
    slow = stored(tmp_path / "slow.json", row(speeds(1.2, seed=2)))
    result = edgekit.compare(base, slow, max_regression=0.05, output=tmp_path / "summary.md")
    assert (result.ok, result.verdict) == (False, "failed")
    assert result.comparisons[0].minimum_detectable is not None
    assert edgekit.compare(base, base, max_regression=0.05).ok
    assert "Timed at different times" in (tmp_path / "summary.md").read_text()


def test_what_was_timed_elsewhere_is_not_comparable(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", row(speeds(1.0)))
    board = stored(tmp_path / "board.json", row(speeds(3.0), device="ssh://pi"))
    result = edgekit.compare(base, board, max_regression=0.05)
    assert result.comparisons[0].answer == "not comparable"
    assert (result.ok, result.verdict) == (True, "weak")
    assert not edgekit.compare(base, board, strict=True).ok


def test_an_artifact_that_only_one_side_has_is_told(tmp_path: Path) -> None:
    fp32, int8 = row(speeds(1.0)), row(speeds(0.5), precision="int8")
    two = stored(tmp_path / "two.json", fp32, int8)
    other = stored(tmp_path / "other.json", fp32, replace(int8, target="tflite"))
    result = edgekit.compare(two, other)
    answers = {one.name: one.answer for one in result.comparisons}
    assert answers["onnx fp32"] == "no difference shown"
    assert answers["tflite int8"] == answers["onnx int8"] == "not comparable"
    assert len(result.base_results) == len(result.new_results) == 1
    assert edgekit.compare(two, other, precision="fp32").verdict == "verified"


def test_results_of_several_devices_are_compared_one_by_one(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", row(speeds(1.0)), row(speeds(3.0), device="ssh://pi"))
    slow = row(speeds(4.0, seed=1), device="ssh://pi")
    new = stored(tmp_path / "new.json", slow, replace(slow, runtime="onnxruntime:WebGPU"))
    result = edgekit.compare(base, new, max_regression=0.05)
    assert {one.name: (one.answer, one.regression) for one in result.comparisons} == {
        "onnx fp32 (onnxruntime on ssh://pi)": ("slower", True),
        "onnx fp32 (onnxruntime:WebGPU on ssh://pi)": ("not comparable", False),
        "onnx fp32 (onnxruntime on local)": ("not comparable", False),
    }
    (found,) = edgekit.compare(base, new, runtime="onnxruntime:CPU", device="ssh://pi").comparisons
    assert (found.name, found.answer) == ("onnx fp32", "slower")


def test_an_artifact_beside_results_of_several_devices_asks_for_one(
    models: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    base = stored(tmp_path / "base.json", row(speeds(1.0)), row(speeds(3.0), device="ssh://pi"))
    with pytest.raises(UsageError) as caught:
        edgekit.compare(base, models[0], data=models[2])
    assert caught.value.code == "several-artifacts"
    assert "--device" in caught.value.hint


def test_both_sides_run_as_they_were_asked_to(
    twin_tflite: Path, twin_openvino: Path, twin_onnx: Path, tmp_path: Path
) -> None:
    save_npz(tmp_path / "data.npz", twin_inputs(4).items())
    asked = {"runtime": ["tflite:XNNPACK", "openvino"], "cpus": "0", "zero_copy": True, "max_seconds": 1}
    result = edgekit.compare(twin_openvino, twin_tflite, data=tmp_path / "data.npz", **asked)
    base, new = result.base_results[0], result.new_results[0]
    assert (base.runtime, new.runtime) == ("openvino", "tflite:XNNPACK")
    assert {row.environment["cpus"] for row in (base, new)} == {"0"}
    assert {row.input_copy for row in (base, new)} == {"nothing"}
    assert new.effective is not None
    assert "XNNPACK" in str(new.effective.placement.value)
    for runtime, code in ((["tflite", "tflite:GPU"], "two-accelerators"), ("openvino", "nothing-for-this-runtime")):
        with pytest.raises(UsageError) as caught:
            edgekit.compare(twin_onnx, twin_onnx, runtime=runtime)
        assert caught.value.code == code


def test_on_an_emulator_a_comparison_only_tests_the_path(
    models: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOFTWARE_GPU_VARIABLE, "1")  # what a device with a GPU in software sets
    result = edgekit.compare(models[0], models[1], data=models[2], threads=1)
    (found,) = result.comparisons
    assert (found.answer, found.reasons) == ("not comparable", (EMULATED,))
    for one in (*result.base_results, *result.new_results):
        assert one.openings == 1
        assert one.samples <= 2 * TURN_RUNS


def test_sizes_take_the_place_of_samples(tmp_path: Path) -> None:
    short = chain(tmp_path / "short.onnx", 4)
    result = edgekit.compare(short, short, inputs=["x0=2x64"], max_seconds=0.3)
    assert {row.batch for row in (*result.base_results, *result.new_results)} == {2}
    assert result.evidence.inputs == "generated"


def test_what_does_not_open_is_an_error(models: tuple[Path, Path, Path], tmp_path: Path) -> None:
    short, _, data = models
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    result = edgekit.compare(short, broken, data=data, max_seconds=2)
    assert (result.ok, result.verdict) == (False, "error")
    assert result.comparisons[0].answer == "not comparable"
    assert "the new one was not timed" in result.comparisons[0].reasons[0]


def test_names_belong_together_once() -> None:
    assert partners(["a"], ["b"]) == [(0, 0)]
    assert partners(["a", "b"], ["b", "c"]) == [(1, 0), (None, 1), (0, None)]
    with pytest.raises(UsageError, match="several of these are a"):
        partners(["a", "a"], ["a"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_regression": -0.1}, "bad-setting"),
        ({"output": "summary.html"}, "unknown-report-format"),
        ({"output": "nowhere/summary.md"}, "no-such-folder"),
        ({"precision": "int8"}, "nothing-selected"),
        ({"runtime": "openvino"}, "nothing-selected"),
        ({"device": "ssh://pi"}, "nothing-selected"),
    ],
)
def test_what_cannot_be_asked(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", row(speeds(1.0)))
    with pytest.raises(UsageError) as caught:
        edgekit.compare(base, base, **changes)
    assert caught.value.code == code


def test_a_result_of_another_version_is_refused(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", row(speeds(1.0)))
    newer = tmp_path / "newer.json"
    newer.write_text(base.read_text().replace("edgekit.bench/1", "edgekit.bench/9"))
    done = command("compare", "base.json", "newer.json", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "bad-result"
    assert "edgekit.bench/9" in done.error["received"]


def test_a_file_outside_a_kit_needs_samples(models: tuple[Path, Path, Path]) -> None:
    with pytest.raises(UsageError) as caught:
        edgekit.compare(models[0], models[1])
    assert caught.value.code == "no-samples"
