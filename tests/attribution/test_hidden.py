"""A real fault that looking hides: OpenVINO's integer kernels behind a mean that NNCF smoothed.

Joined with the multiplication and the quantizer behind it, the mean comes out as another. An output between them mends
that, and an output at the first convolution spoils the rest of this model: with every tensor tapped, other layers than
the guilty ones are wrong.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgekit
from tests.attribution.kits import put
from tests.quantizer import digits, stock_nncf

MEAN = "ReduceMean_23"
GROUP = (MEAN, f"{MEAN}_0_0/nncf_smooth_quant", f"{MEAN}_0_0/nncf_smooth_quant/fq_output_0")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit whose fp32 artifact is right, and whose int8 one the engine gets wrong."""
    folder = tmp_path_factory.mktemp("hidden")
    files = stock_nncf.made("smoothed", folder / "stock")
    np.savez(folder / "data.npz", image=digits.images()[0][digits.TRAINING :][:200])
    done = edgekit.export(
        folder / "stock" / "parent.xml", target="openvino", data=folder / "data.npz", output=folder / "kit"
    )
    assert done.verdict == "verified"
    put(folder / "kit", "openvino", "int8", files)
    return folder / "kit"


@pytest.mark.slow
def test_a_fault_that_looking_hides_is_traced_to_the_operators_that_the_engine_joins(kit: Path) -> None:
    (row,) = edgekit.check(kit, precision="int8").results
    assert row.verdict == "failed"
    assert row.blame is not None
    assert row.blame.together == GROUP
    assert row.culprit == f"quantize: what the engine makes of {', '.join(GROUP)} together: each is right alone"
    (mean,) = (one for one in row.layers if one.layer == MEAN)
    assert mean.sqnr_db is not None
    assert mean.sqnr_db > 12, "looked at alone, it comes out right but for the noise of integers"
    assert row.failing is not None
    assert row.failing.layers == GROUP, "three operators are enough to show it"
    script = Path(row.failing.folder) / "reproduce.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "allowed is at least 20 dB" in done.stdout


@pytest.mark.slow
def test_the_artifact_that_it_was_made_from_has_no_culprit(kit: Path) -> None:
    (row,) = edgekit.check(kit, precision="fp32", layers=True).results
    assert row.verdict == "verified"
    assert row.culprit is None
    assert row.layers
    assert all(one.good is not False for one in row.layers)
