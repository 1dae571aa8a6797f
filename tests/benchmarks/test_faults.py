"""The fault benchmark: its faults are faults, its judge knows the culprit, its table counts them right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults_judge import Named, group, is_right, named_in
from benchmarks.faults_kinds import FAULTS
from benchmarks.faults_report import BEGIN, END, section, write_into
from tests import models
from tests.benchmarks import picture

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = {"onnx": "model.onnx", "openvino": "model.xml", "tflite": "model.tflite"}

#: Faults that the network has no place for: nothing is quantized.
ABSENT = {"zero point off by one"}

Record = dict[str, Any]


def _python(*arguments: object) -> list[Record]:
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
@pytest.mark.parametrize("target", list(ENTRIES))
def test_every_fault_changes_what_the_engine_gives(target: str, tmp_path: Path) -> None:
    clean = tmp_path / ENTRIES[target]
    _python("tests.benchmarks.picture", target, clean)
    np.savez(tmp_path / "large.npz", image=picture.inputs(200)["image"])
    np.savez(tmp_path / "weights.npz", **picture.source())  # type: ignore[arg-type] # arrays by name
    plan = {name: str(tmp_path / f"{name}.npz") for name in ("weights", "large")}
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"wanted": [(fault, 0) for fault in FAULTS]}))
    made = _python("benchmarks.faults_edit", target, clean, tmp_path / "planted", tmp_path / "plan.json")
    absent = ABSENT | ({"batch fixed to 1"} if target == "tflite" else set())
    assert {one["fault"] for one in made if "absent" in one} == absent
    present = [one for one in made if "entry" in one]
    entries = [one["entry"] for one in present]
    found = _python("benchmarks.faults_compare", target, tmp_path / "large.npz", clean, *entries)
    figures = {one["entry"]: one for one in found if "changes" in one}
    assert [one["fault"] for one in present if not figures[one["entry"]]["changes"]] == []
    by_fault = {one["fault"]: figures[one["entry"]] for one in present}
    assert by_fault["NaN for one input in 100"]["samples"] == pytest.approx(0.01)
    assert target == "tflite" or by_fault["batch fixed to 1"]["narrower"]
    assert by_fault["bf16 passed off as fp32"]["share"] < 0.1 < by_fault["padding on one side"]["share"]
    (same,) = _python("benchmarks.faults_compare", target, tmp_path / "large.npz", clean, clean)[1:]
    assert not same["changes"]


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_zero_point_off_by_one_moves_the_result_a_little(
    target: str, dense_onnx: Path, dense_openvino: Path, tmp_path: Path
) -> None:
    clean = {"onnx": dense_onnx, "openvino": dense_openvino}[target]
    np.savez(tmp_path / "large.npz", x=models.dense_inputs(64)["x"])
    np.savez(tmp_path / "weights.npz", nothing=np.zeros(1))
    plan = {name: str(tmp_path / f"{name}.npz") for name in ("weights", "large")}
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"wanted": [("zero point off by one", 0)]}))
    (made,) = _python("benchmarks.faults_edit", target, clean, tmp_path / "planted", tmp_path / "plan.json")
    _, found = _python("benchmarks.faults_compare", target, tmp_path / "large.npz", clean, made["entry"])
    assert found["changes"]
    assert 0.001 < found["share"] < 0.2


def test_the_operators_that_are_fused_with_the_changed_one_are_as_right_as_itself() -> None:
    graph = [
        _operator("conv", "Conv", ["x"], ["a"]),
        _operator("bias", "Add", ["a"], ["b"]),
        _operator("relu", "Relu", ["b"], ["c"]),
        _operator("pad", "Pad", ["c"], ["d"]),
        _operator("next", "Conv", ["d"], ["e"]),
        _operator("last", "Relu", ["e"], ["f"]),
    ]
    assert group(graph, "conv", inserted=False) == {"conv", "bias", "relu", "pad"}
    assert group(graph, "bias", inserted=False) == {"conv", "bias", "relu", "pad"}
    assert group(graph, "next", inserted=False) == {"pad", "next", "last"}
    assert group(graph, "pad", inserted=False) == {"conv", "bias", "relu", "pad", "next", "last"}
    assert "last" not in group(graph, "relu", inserted=False)


def _operator(name: str, kind: str, inputs: list[str], outputs: list[str]) -> Record:
    return {"name": name, "kind": kind, "inputs": inputs, "outputs": outputs}


def test_the_layer_counts_where_the_operator_tells_it() -> None:
    graph = [_operator("gru/cell/Shape", "Shape", ["x"], ["a"]), _operator("gru/cell/MatMul", "MatMul", ["a"], ["b"])]
    named = named_in({"blame": {"stage": "export", "layer": "gru", "operator": "gru/cell/Shape", "together": []}})
    assert named == Named("export", "gru", ("gru/cell/Shape",))
    assert is_right(graph, "gru/cell/MatMul", named, inserted=False)
    assert not is_right(graph, "gru/cell/MatMul", Named("export", "cell_2", ("gru/cell/Shape",)), inserted=False)
    assert is_right(graph, "gru/cell/MatMul", Named("export", None, ("x", "gru/cell/MatMul")), inserted=False)
    assert not is_right(graph, "gru/cell/MatMul", named_in({"blame": None}), inserted=False)


def test_the_table_counts_what_is_caught(tmp_path: Path) -> None:
    scaled = {"fault": "weights scaled by 1.01", "operator": "conv", "saved": True, "reasons": ()}
    records = [
        _fault(1, **scaled, changes=True, verdict="failed", right=True),
        _fault(2, **scaled, changes=False, verdict="verified", right=False),
        {**_fault(3, fault="bias dropped", absent="there is no place for it")},
        _fault(
            4,
            fault="NaN for one input in 100",
            operator="add",
            saved=False,
            reasons=(),
            changes=True,
            verdict="verified",
            with_data="failed",
        ),
        {
            "key": "clean",
            "kind": "clean",
            "model": "conv",
            "target": "onnx",
            "precision": "fp16",
            "route": "r",
            "verdict": "weak",
            "reasons": ["output y: the source gives the same for every sample."],
        },
    ]
    text, good = section(records)
    assert good
    assert "| weights scaled by 1.01 | 2 | 1 | 1/1 | · | · | 1/1 |" in text
    assert "bias dropped" not in text
    missed = _fault(5, **scaled, changes=True, verdict="verified", right=False, share=0.5, sqnr_db=6.0)
    alarm = {**records[-1], "key": "alarm", "verdict": "failed"}
    text, good = section([*records, missed, alarm])
    assert not good
    assert "not caught, verified: conv, onnx fp32, weights scaled by 1.01 (`conv`): 6 dB" in text
    assert "false alarm: conv, r, fp16" in text
    document = tmp_path / "parity.md"
    document.write_text("# Parity\n")
    write_into(document, "first\n")
    write_into(document, "second\n")
    assert document.read_text() == f"# Parity\n\n{BEGIN}\nsecond\n{END}\n"


def _fault(number: int, **fields: object) -> Record:
    return {"key": str(number), "kind": "fault", "model": "conv", "target": "onnx", "precision": "fp32", **fields}
