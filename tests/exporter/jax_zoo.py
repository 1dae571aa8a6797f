"""Factories of small JAX models, one per thing that converters get wrong, each with its example inputs.

Weights are random but seeded, and scaled so that outputs vary. The exporter imports it by path, as a user's file, in
a process of its own. ``python -m tests.exporter.jax_zoo FOLDER NAME...`` writes files of jax.export.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


def _normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32") / np.float32(np.sqrt(shape[0]))


def mlp() -> Callable[..., Any]:
    """A vector in, a dictionary with two outputs out."""
    import jax

    first, second = _normal(12, 16), _normal(16, 3, seed=1)

    def function(features: Any) -> dict[str, Any]:
        hidden = jax.nn.gelu(features @ first)
        return {"score": jax.nn.softmax(hidden @ second), "hidden": hidden}

    return function


mlp_example_inputs = {"features": np.zeros((4, 12), "float32")}


def cnn() -> Callable[..., Any]:
    """Images with channels last, a convolution and two kinds of pooling; compiled already."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    kernel, dense = _normal(3, 3, 1, 8), _normal(8, 4, seed=1)

    @jax.jit  # type: ignore[untyped-decorator]  # JAX is Any here
    def function(image: Any) -> Any:
        x = lax.conv_general_dilated(image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
        return x.mean((1, 2)) @ dense

    return function  # type: ignore[no-any-return]  # JAX is Any here


cnn_example_inputs = (np.zeros((2, 8, 8, 1), "float32"),)


def flax() -> Any:
    """A Flax NNX module with normalisation, pooling and dropout, left in training mode."""
    from flax import nnx
    from jax import numpy as jnp

    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
            self.norm = nnx.BatchNorm(8, rngs=rngs)
            self.norm.mean[...] = jnp.asarray(_normal(8))
            self.norm.var[...] = jnp.asarray(1 + _normal(8, seed=1) ** 2)
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.dense = nnx.Linear(8, 4, rngs=rngs)

        def __call__(self, image: Any) -> Any:
            x = nnx.relu(self.norm(self.conv(image)))
            x = nnx.max_pool(x, (2, 2), (2, 2))
            return self.dense(self.drop(x.mean((1, 2))))

    return Network(nnx.Rngs(0))


flax_example_inputs = {"image": np.zeros((1, 16, 16, 3), "float32")}


def text() -> Any:
    """Token ids through an embedding, attention and normalisation; ids are of a type that JAX narrows."""
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.embed = nnx.Embed(40, 16, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(4, 16, decode=False, rngs=rngs)
            self.norm = nnx.LayerNorm(16, rngs=rngs)
            self.dense = nnx.Linear(16, 5, rngs=rngs)

        def __call__(self, ids: Any) -> Any:
            x = self.embed(ids)
            return self.dense(self.norm(x + self.attention(x)).mean(1))

    return Network(nnx.Rngs(0))


text_example_inputs = {"ids": np.zeros((1, 6), "int64")}


class States(NamedTuple):
    """What a recurrent model returns."""

    last: Any
    every: Any


def rnn() -> Callable[..., Any]:
    """A recurrence by ``jax.lax.scan``; a named tuple out."""
    from jax import lax
    from jax import numpy as jnp

    inner, outer = _normal(8, 8), _normal(4, 8, seed=1)

    def function(steps: Any) -> States:
        def cell(state: Any, step: Any) -> tuple[Any, Any]:
            state = jnp.tanh(state @ inner + step @ outer)
            return state, state

        last, every = lax.scan(cell, jnp.zeros((steps.shape[0], 8)), jnp.swapaxes(steps, 0, 1))
        return States(last, jnp.swapaxes(every, 0, 1))

    return function


rnn_example_inputs = {"steps": np.zeros((1, 12, 4), "float32")}


def long_rnn() -> Callable[..., Any]:
    """The same over more steps than a converter writes out."""
    return rnn()


long_rnn_example_inputs = {"steps": np.zeros((1, 200, 4), "float32")}


def two() -> Callable[..., Any]:
    """Two inputs, the second of which goes first in the alphabet; two outputs without names."""
    from jax import numpy as jnp

    left, right = _normal(5, 4), _normal(3, 4, seed=1)

    def function(wide: Any, narrow: Any) -> tuple[Any, Any]:
        joined = wide @ left + 2 * (narrow @ right)
        return joined, jnp.sin(wide).sum(-1, keepdims=True)

    return function


two_example_inputs = {"narrow": np.zeros((1, 3), "float32"), "wide": np.zeros((1, 5), "float32")}


def tree() -> Callable[..., Any]:
    """One argument that is a tree."""

    def function(batch: dict[str, Any], scale: Any) -> dict[str, Any]:
        return {"sum": {"all": batch["a"] + batch["b"] * scale}}

    return function


tree_example_inputs = ({"a": np.zeros((1, 3), "float32"), "b": np.zeros((1, 3), "float32")}, np.ones((1, 3), "float32"))


def build(folder: Path, *names: str) -> Path:
    """Write models as ``<name>.jax`` files of jax.export, in a process of its own."""
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.exporter.jax_zoo", str(folder), *names]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env=env, timeout=300)
    return folder


def _export(name: str) -> bytes:
    """What a user would write."""
    import jax

    made = globals()[name]()
    if hasattr(made, "eval"):
        made.eval()
    (batch,) = jax.export.symbolic_shape("batch")
    shapes = {
        key: jax.ShapeDtypeStruct((batch, *array.shape[1:]), jax.dtypes.canonicalize_dtype(array.dtype))
        for key, array in globals()[f"{name}_example_inputs"].items()
    }

    def function(**inputs: Any) -> Any:
        found = made(**inputs)
        return found._asdict() if isinstance(found, States) else found  # JAX serializes no classes of the user's

    exported = jax.export.export(jax.jit(function), platforms=["cpu"])(**shapes)
    return bytes(exported.serialize())


if __name__ == "__main__":
    for model in sys.argv[2:]:
        Path(sys.argv[1], f"{model}.jax").write_bytes(_export(model))
