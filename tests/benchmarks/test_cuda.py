"""The CUDA benchmark without a CUDA machine: it says what it looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cuda import MISSING

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_it_says_what_was_looked_for() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver")
    command = [sys.executable, str(ROOT / "benchmarks" / "cuda.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == MISSING == 3
    assert done.stdout == ""
    assert "no CUDA machine: torch" in done.stderr
    assert "/dev/nvidiactl" in done.stderr
    assert "libcuda.so.1" in done.stderr
    assert "Traceback" not in done.stderr
