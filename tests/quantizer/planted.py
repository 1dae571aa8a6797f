"""The trained digits network with one bad layer: a channel whose activations are 1000 times larger than the others.

The depthwise convolution's channel is scaled by 1000, and what the next convolution makes of it by 1/1000, so that
float32 computes the same as before. With one range for the whole tensor 8 bits cannot hold the other channels: every
step is larger than most of their values. ``python -m tests.quantizer.planted FOLDER`` writes it, in a process of its
own; files, signature and images are those of `tests.quantizer.digits`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from tests.quantizer import digits

#: The channel, and by how much its activations are larger.
CHANNEL, FACTOR = 3, 1000.0

#: Parts of the names of the operators that the bad tensor lies between, in the ONNX file.
BETWEEN = ("k1", "k2")


@cache
def artifacts() -> Path:
    """The folder that holds `digits.FILES` of every target, made on first use and kept among the temporary files."""
    sources = b"".join(Path(path).read_bytes() for path in (__file__, digits.__file__))
    key = hashlib.sha256(sources + sys.version.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"edgekit-planted-{key}"
    if not folder.is_dir():
        made = Path(tempfile.mkdtemp(prefix="edgekit-planted-"))
        done = subprocess.run(
            [sys.executable, "-m", "tests.quantizer.planted", str(made)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 0, done.stderr
        if not folder.is_dir():  # another test process may have been faster
            made.rename(folder)
    return folder


def plant(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same function with the bad channel: ReLU lets a positive factor through."""
    planted = {name: array.copy() for name, array in weights.items()}
    planted["k1"][..., CHANNEL] *= FACTOR
    planted["b1"][CHANNEL] *= FACTOR
    planted["k2"][:, :, CHANNEL] /= FACTOR
    return planted


if __name__ == "__main__":
    digits.write(plant(digits.trained()), Path(sys.argv[1]))
