"""Outputs at the edges can fail an artifact, and say nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.parity.edges import judge_edges
from edgekit.parity.evaluate import Evaluation, OtherSize, Reference, evaluate
from edgekit.types import Evidence, Signature
from tests.onnx_files import write_onnx
from tests.parity.evaluating import specs, stored

EVIDENCE = Evidence("real", 8, ("x=1x4",))


def test_only_what_fails_is_told() -> None:
    wanted = {name: np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32) for name in ("steady", "shaky")}
    noise = {"steady": {"one-ulp": 1e-7}, "shaky": {"one-ulp": 0.01}}
    shaken = {**wanted, "shaky": wanted["shaky"] + np.float32(0.02)}
    assert judge_edges(wanted, shaken, "fp32", noise, EVIDENCE) is None, "its source moves by as much"
    found = judge_edges(wanted, {**shaken, "steady": wanted["steady"] * np.float32(1.01)}, "fp32", noise, EVIDENCE)
    assert found is not None
    assert found.verdict == "failed"
    assert len(found.reasons) == 2
    assert all("output steady: " in reason for reason in found.reasons)


def clip_onnx(path: Path, limit: float | None) -> Path:
    """``x`` between two limits, or as it is."""
    from onnx import helper

    if limit is None:
        return write_onnx(path, [helper.make_node("Identity", ["x"], ["y"])], {}, ["batch", 3])
    node = helper.make_node("Clip", ["x", "low", "high"], ["y"])
    return write_onnx(path, [node], {"low": -limit, "high": limit}, ["batch", 3])


def table_onnx(path: Path, rows: int) -> Path:
    """A table that ``x`` indexes, of which large numbers have no row."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "i"], ["y"]),
    ]
    return write_onnx(path, nodes, {"table": np.arange(rows, dtype=np.float32)}, ["batch", 3])


def judged_at_edges(
    folder: Path, artifact: Path, precision: str = "fp32", *, whole: bool = False, tolerance: float | None = None
) -> Evaluation:
    """An artifact against ``clip(x, -6, 6)``, on usual samples within these limits and on some beyond."""
    rng = np.random.default_rng(0)
    signature = Signature(specs("x=?x3:float32"), specs("y=?x3:float32"))
    with Executor() as executor:
        sets = []
        for name, scale in (("usual", 1.0), ("edge", 8.0)):
            x = (rng.integers(0, 5, (40, 3)) if whole else np.clip(rng.normal(size=(40, 3)), -5, 5)) * scale
            x = x.astype(np.float32)
            files = stored(folder / name, {"x": x, "y": x if whole else np.clip(x, -6, 6)})
            sets.append(({"x": executor.add(files["x"], f"{name}.npy")}, {"y": files["y"]}))
        noise = {"y": {"one-ulp": 1e-7}}
        edge = OtherSize(*sets[1], noise, {}, edge=True)
        known = Reference(signature, *sets[0], noise, {"x": True}, "generated", sizes=(edge,))
        options: dict[str, Any] = {"executor": executor, "context": conversion_context(None), "batches": (1, 3)}
        return evaluate("onnx", precision, (executor.add(artifact),), known, tolerance=tolerance, **options)


def test_a_lost_clip_shows_at_the_edges_only(tmp_path: Path) -> None:
    found = judged_at_edges(tmp_path, clip_onnx(tmp_path / "lost.onnx", None))
    assert found.parity.verdict == "failed"
    assert all(reason.startswith("on zeros, large or negative inputs: ") for reason in found.parity.reasons)
    kept = judged_at_edges(tmp_path, clip_onnx(tmp_path / "kept.onnx", 6.0))
    assert (kept.parity.verdict, kept.parity.reasons) == ("verified", ())
    assert kept.parity.evidence.shapes == ("x=1x3", "x=3x3")
    assert kept.parity.evidence.variance["y"] == pytest.approx(1.0, abs=0.05)
    given = judged_at_edges(tmp_path, clip_onnx(tmp_path / "lost.onnx", None), tolerance=1e-3)
    assert given.parity.verdict == "verified"


def broken_onnx(path: Path) -> Path:
    """``x`` below 20, NaN from there on."""
    from onnx import helper

    nodes = [
        helper.make_node("Less", ["x", "limit"], ["usual"]),
        helper.make_node("Where", ["usual", "x", "nan"], ["y"]),
    ]
    return write_onnx(path, nodes, {"limit": 20.0, "nan": np.nan}, ["batch", 3])


@pytest.mark.parametrize(
    ("precision", "verdict"), [("fp32", "failed"), ("int8-weights", "failed"), ("fp16", "verified")]
)
def test_numbers_that_are_lost_beyond_usual_inputs_fail_all_but_narrow_floats(
    tmp_path: Path, precision: str, verdict: str
) -> None:
    found = judged_at_edges(tmp_path, broken_onnx(tmp_path / "broken.onnx"), precision)
    assert found.parity.verdict == verdict
    assert any("NaN or infinite" in reason for reason in found.parity.reasons) == (verdict == "failed")


@pytest.mark.parametrize("precision", ["fp16", "int8-weights"])
def test_an_artifact_of_fewer_bits_may_saturate_at_the_edges(tmp_path: Path, precision: str) -> None:
    found = judged_at_edges(tmp_path, clip_onnx(tmp_path / "lost.onnx", None), precision)
    assert found.parity.verdict != "failed"


def test_an_engine_may_refuse_what_lies_at_the_edges(tmp_path: Path) -> None:
    found = judged_at_edges(tmp_path, table_onnx(tmp_path / "table.onnx", 5), whole=True)
    assert (found.parity.verdict, found.parity.reasons) == ("verified", ())
