"""Whether real artifacts pay, timed in turns and explained by what the engine executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit, digest_of
from edgekit.latency.bench import pays_in_kit
from edgekit.types import Artifact, Signature, TensorSpec
from edgekit.workbench import workbench
from tests.report.samples import SOURCE
from tests.runtimes.test_execution import WIDTH, weights_onnx


def stored(kit: Kit, path: Path, precision: str, parent: str | None) -> str:
    """Put a file into a kit; returns its digest."""
    files = (blob_of(path, "model.onnx"),)
    shape = (None, WIDTH)
    signature = Signature((TensorSpec("x", shape, "float32"),), (TensorSpec("y", shape, "float32"),))
    made = Artifact("onnx", precision, "", files, digest_of(files), "made", parent, signature, (), {}, {})
    kit.commit(artifacts=[(made, [path])])
    return made.sha256


@pytest.mark.slow
def test_a_slow_artifact_is_explained_by_its_engine(tmp_path: Path) -> None:
    kit = Kit.prepare(tmp_path / "kit", SOURCE, replace_source=False)
    parent = stored(kit, weights_onnx(tmp_path / "float.onnx", quantized=False), "fp32", None)
    child = stored(kit, weights_onnx(tmp_path / "quantized.onnx", quantized=True), "int8-weights", parent)
    with workbench() as work:
        np.save(work.folder / "x.npy", np.ones((3, WIDTH), np.float32))
        found = pays_in_kit(kit, [child], {"x": work.executor.add(work.folder / "x.npy")}, work)
    (answer,) = found.values()
    assert list(found) == [child]
    assert answer.device == "local"
    assert answer.size_ratio is not None
    assert answer.size_ratio > 3.5
    assert answer.over == "f32"
    assert answer.speedup is not None
    assert answer.ci95 is not None
    assert answer.ci95[0] <= answer.speedup <= answer.ci95[1]
    if answer.answer == "no":  # the load of the machine decides how sure it is; the cause is the engine's alone
        assert answer.likely_reason is not None
        assert "1 DequantizeLinear" in answer.likely_reason
    else:
        assert (answer.likely_reason is None) == (answer.answer == "yes")


def test_an_artifact_whose_parent_is_gone_has_no_answer(tmp_path: Path) -> None:
    kit = Kit.prepare(tmp_path / "kit", SOURCE, replace_source=False)
    alone = stored(kit, weights_onnx(tmp_path / "quantized.onnx", quantized=True), "int8-weights", "0" * 64)
    with workbench() as work:
        assert pays_in_kit(kit, [alone], {}, work) == {}
