"""`edgekit.check` names the layer that is wrong, and keeps the part that shows it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgekit
from edgekit.kit import Kit
from tests.attribution.kits import put

ROOT = Path(__file__).resolve().parents[2]

#: The layer whose weights are scaled; its batch normalisation is folded into it.
CULPRIT = "conv2d_2"


def planted(digits_kit: Path, target: str, folder: Path) -> Path:
    """A copy of the kit in which one fp32 artifact has a fault."""
    kit = folder / "kit"
    shutil.copytree(digits_kit, kit)
    opened = Kit.open(kit)
    artifact = next(one for one in opened.artifacts if one.name == f"{target} fp32")
    paths = [Path(shutil.copy(path, folder)) for path in opened.files(artifact)]
    command = [sys.executable, "-m", "tests.attribution.plant", target, str(paths[0])]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    put(kit, target, "fp32", paths)
    return kit


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_the_faulty_layer_is_named_and_its_part_shows_the_fault(target: str, digits_kit: Path, tmp_path: Path) -> None:
    kit = planted(digits_kit, target, tmp_path)
    edgekit.check(kit, target=target, precision="fp32")
    (row,) = edgekit.check(kit, target=target, precision="fp32").results  # again, over what the first one kept
    assert row.verdict == "failed"
    assert row.culprit is not None
    assert row.culprit.startswith("export: layer")
    assert CULPRIT in row.culprit
    bad = [one.layer for one in row.layers if one.good is False]
    assert bad
    place = [one.layer for one in row.layers].index(bad[0])
    assert all(one.good is not False for one in row.layers[:place])
    assert row.failing is not None
    assert len(list((kit / "failing").iterdir())) == 1
    script = Path(row.failing.folder) / "reproduce.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "the largest difference is" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_a_clean_artifact_has_no_culprit(target: str, digits_kit: Path) -> None:
    rows = edgekit.check(digits_kit, target=target, layers=True).results
    assert {row.precision for row in rows} == {"fp32", "int8"}
    for row in rows:
        assert row.culprit is None
        assert row.failing is None
        known = [one for one in row.layers if one.good is not None]
        assert len(known) >= 6
        assert all(one.good for one in known)


@pytest.mark.slow
def test_a_quantized_artifact_is_compared_with_the_one_it_was_made_from(digits_kit: Path) -> None:
    (row,) = edgekit.check(digits_kit, target="onnx", precision="int8", layers=True).results
    noise = [one.sqnr_db for one in row.layers if one.sqnr_db is not None]
    assert len(noise) >= 6
    assert noise[0] > noise[-3], "noise grows on the way"
    assert any(one.added_db is not None for one in row.layers)
