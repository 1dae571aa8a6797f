"""`edgekit.check` names the layer of a quantized artifact that is wrong, not the quantizers around it."""

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

#: The second convolution of the network, and the layer that takes what comes out of it.
LAYER, NEXT = "conv2d_1", "max_pooling2d"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "fault", "culprit", "kind"),
    [
        ("onnx", "scale", LAYER, "Conv"),
        ("onnx", "zero", NEXT, "QuantizeLinear"),
        ("openvino", "scale", LAYER, "Convolution"),
        ("openvino", "zero", NEXT, "FakeQuantize"),
        ("tflite", "scale", LAYER, "CONV_2D"),
    ],
)
def test_the_wrong_layer_of_a_quantized_artifact_is_named(
    target: str, fault: str, culprit: str, kind: str, digits_kit: Path, tmp_path: Path
) -> None:
    kit = tmp_path / "kit"
    shutil.copytree(digits_kit, kit)
    opened = Kit.open(kit)
    artifact = next(one for one in opened.artifacts if one.name == f"{target} int8")
    paths = [Path(shutil.copy(path, tmp_path)) for path in opened.files(artifact)]
    command = [sys.executable, "-m", "tests.attribution.plant_quantized", target, fault, "1", str(paths[0])]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    put(kit, target, "int8", paths)
    (row,) = edgekit.check(kit, target=target, precision="int8").results
    assert row.verdict == "failed"
    assert row.blame is not None
    assert row.blame.stage == "quantize"
    assert row.blame.kind == kind
    assert culprit in str(row.blame.layer)
    place = [one.layer for one in row.layers].index(str(row.blame.layer))
    assert all(one.good is not False for one in row.layers[:place])
    wrong = row.layers[place]
    assert wrong.good is False
    assert wrong.sqnr_db is not None
    assert wrong.sqnr_db < 20
    assert row.failing is not None
    script = Path(row.failing.folder) / "reproduce.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
