"""A small attention network on scikit-learn's digits as a float .tflite file, in which two things break quantizers.

The rows of an image are eight tokens, each with a matrix of its own: that becomes a BATCH_MATMUL with a stored matrix,
first operand, of which LiteRT reads only the first scale. The attention on top multiplies activations. The last layer
is fitted by least squares. ``python -m tests.quantizer.attention FILE`` writes it, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.quantizer import digits


def write(path: Path) -> Path:
    """Make the file; its signature is that of `digits`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.quantizer.attention", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return path


def _features(x: Any, tokens: Any) -> Any:
    import jax
    import jax.numpy as jnp

    h = jnp.einsum("bts,tse->bte", x[..., 0], tokens)
    weights = jax.nn.softmax(jnp.einsum("bte,bse->bts", h, h) / 4, axis=-1)
    h = jax.nn.relu(h + jnp.einsum("bts,bse->bte", weights, h))
    return h.reshape(h.shape[0], -1)


def _write(path: Path) -> None:
    random = np.random.default_rng(0)
    # Channels of very different size, as training makes them: one scale for all of them would lose the small ones.
    tokens = (random.normal(size=(8, 8, 16)) * random.uniform(0.1, 3, size=(8, 1, 16)) / 3).astype(np.float32)
    x, y = digits.images()
    made = np.asarray(_features(x[: digits.TRAINING], tokens), np.float64)
    wanted = np.eye(10)[y[: digits.TRAINING]]
    readout = np.linalg.solve(made.T @ made + 30 * np.eye(made.shape[1]), made.T @ wanted).astype(np.float32)
    digits.write_tflite(lambda x: _features(x, tokens) @ readout, path)


if __name__ == "__main__":
    import os

    os.environ["JAX_PLATFORMS"] = "cpu"
    _write(Path(sys.argv[1]))
