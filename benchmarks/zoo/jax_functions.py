"""JAX functions: each factory returns a pure function that holds its weights. Beside each stand example inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Function = Callable[..., Any]


class _Draw:
    """Seeded weights with the scale of their fan-in."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(7)

    def __call__(self, *shape: int) -> Array:
        scale = 0.1 if len(shape) == 1 else math.prod(shape[:-1]) ** -0.5
        return jnp.asarray(self._rng.standard_normal(shape) * scale, jnp.float32)


def _convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def mlp() -> Function:
    """A vector to a vector."""
    draw = _Draw()
    first, bias, second = draw(12, 24), draw(24), draw(24, 3)

    def mlp(features: Array) -> Array:
        return jax.nn.gelu(features @ first + bias) @ second

    return mlp


def resnet() -> Function:
    """Residual blocks on ``lax`` convolutions, average pooled."""
    draw = _Draw()
    stem, head = draw(3, 3, 3, 8), draw(8, 5)
    blocks = [(draw(3, 3, 8, 8), draw(3, 3, 8, 8)) for _ in range(2)]

    def resnet(image: Array) -> Array:
        x = jax.nn.relu(_convolve(image, stem, 2))
        for first, second in blocks:
            x = jax.nn.relu(x + _convolve(jax.nn.relu(_convolve(x, first)), second))
        return x.mean((1, 2)) @ head

    return resnet


def recurrent() -> Function:
    """A gated recurrent unit by ``lax.scan``."""
    draw = _Draw()
    inward, around, head = draw(4, 24), draw(8, 24), draw(8, 2)

    def recurrent(steps: Array) -> Array:
        def step(state: Array, x: Array) -> tuple[Array, None]:
            from_x, from_state = jnp.split(x @ inward, 3, -1), jnp.split(state @ around, 3, -1)
            update, reset = (jax.nn.sigmoid(a + b) for a, b in zip(from_x[:2], from_state[:2], strict=True))
            return (1 - update) * jnp.tanh(from_x[2] + reset * from_state[2]) + update * state, None

        start = jnp.zeros((steps.shape[0], 8), steps.dtype)
        return jax.lax.scan(step, start, jnp.swapaxes(steps, 0, 1))[0] @ head

    return recurrent


def transformer() -> Function:
    """Token ids, one block of attention, a score for every step."""
    draw = _Draw()
    table, positions = draw(60, 16) * 8.0, draw(12, 16)
    mix, out, wide, narrow, head = draw(16, 48), draw(16, 16), draw(16, 32), draw(32, 16), draw(16, 4)

    def norm(x: Array) -> Array:
        return (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)

    def transformer(ids: Array) -> Array:
        x = norm(jnp.take(table, ids, axis=0) + positions)
        query, key, value = (part.reshape(*part.shape[:2], 2, 8) for part in jnp.split(x @ mix, 3, -1))
        weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(8), axis=-1)
        seen = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape)
        x = norm(x + seen @ out)
        return (x + jax.nn.silu(x @ wide) @ narrow) @ head

    return transformer


def outputs() -> Function:
    """Two inputs, and a dictionary of outputs, one of them an integer."""
    draw = _Draw()
    first, second = draw(6, 8), draw(4, 8)

    def outputs(left: Array, right: Array) -> dict[str, Array]:
        scores = jnp.tanh(left @ first) + right @ second
        return {"label": jnp.argmax(scores, -1).astype(jnp.int32), "scores": jax.nn.softmax(scores, axis=-1)}

    return outputs


def depthwise() -> Function:
    """A depthwise convolution, then a pooling window."""
    draw = _Draw()
    deep, flat, head = draw(3, 3, 1, 6), draw(1, 1, 6, 8), draw(8, 3)

    def depthwise(image: Array) -> Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(image, deep, (1, 1), "VALID", dimension_numbers=numbers, feature_group_count=3)
        x = jax.nn.hard_swish(_convolve(x, flat))
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return x.mean((1, 2)) @ head

    return depthwise


mlp_example_inputs = {"features": np.zeros((1, 12), np.float32)}
resnet_example_inputs = {"image": np.zeros((1, 24, 24, 3), np.float32)}
recurrent_example_inputs = {"steps": np.zeros((1, 10, 4), np.float32)}
transformer_example_inputs = {"ids": np.zeros((1, 12), np.int32)}
outputs_example_inputs = {"left": np.zeros((1, 6), np.float32), "right": np.zeros((1, 4), np.float32)}
depthwise_example_inputs = {"image": np.zeros((1, 16, 16, 3), np.float32)}
