"""Layers are looked at on the inputs on which an artifact is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgekit
from tests.onnx_files import write_onnx


def clip_onnx(path: Path, kind: str, outside: float | None = None) -> Path:
    """``y = 3 * clip(x / 2)``, whose clip has another operator in its place.

    Args:
        path: of the file.
        kind: ``Clip``, at 3 and -3, or what takes one tensor.
        outside: added to the result, so that usual inputs show the fault too.
    """
    from onnx import helper

    numbers = {"half": 0.5, "low": -3.0, "high": 3.0, "three": 3.0, "more": outside or 0.0}
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["halved"], name="halve"),
        helper.make_node(kind, ["halved", "low", "high"][: 3 if kind == "Clip" else 1], ["clipped"], name="clip"),
        helper.make_node("Mul", ["clipped", "three"], ["product"], name="multiply"),
        helper.make_node("Add", ["product", "more"], ["y"], name="add"),
    ]
    return write_onnx(path, nodes, numbers, ["batch", 6])


def test_a_fault_beyond_usual_inputs_is_traced_to_its_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole, lost = clip_onnx(tmp_path / "whole.onnx", "Clip"), clip_onnx(tmp_path / "lost.onnx", "Identity")
    (row,) = edgekit.check(lost, against=whole).results
    assert row.verdict == "failed"
    assert row.reasons[0].startswith("on zeros, large or negative inputs: ")
    assert row.blame is not None
    assert (row.blame.stage, row.blame.layer) == ("export", "clip")
    assert any("at the edges" in reason for reason in row.reasons)
    assert row.failing is not None
    script = Path(row.failing.folder) / "reproduce.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr


def test_a_fault_on_usual_inputs_is_looked_at_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole, moved = clip_onnx(tmp_path / "whole.onnx", "Clip"), clip_onnx(tmp_path / "moved.onnx", "Identity", 0.5)
    (row,) = edgekit.check(moved, against=whole).results
    assert row.blame is not None
    assert row.blame.layer == "add"
    assert not any("figures of layers" in reason for reason in row.reasons)


def test_a_part_that_gives_no_numbers_is_kept_and_printed_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole, broken = clip_onnx(tmp_path / "whole.onnx", "Clip"), clip_onnx(tmp_path / "broken.onnx", "Log")
    result = edgekit.check(broken, against=whole)
    (row,) = result.results
    assert row.blame is not None
    assert row.blame.operator == "clip"
    assert row.failing is not None
    assert row.failing.max_abs is None
    json.dumps(result.to_json(), allow_nan=False)  # Infinity and NaN are no JSON
    script = Path(row.failing.folder) / "reproduce.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
