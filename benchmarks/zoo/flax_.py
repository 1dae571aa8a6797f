"""Flax NNX modules: each factory returns the module itself. Beside each stand example inputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array


class _Cnn(nnx.Module):
    """A classifier with batch normalisation and pooling."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
        self.second = nnx.Conv(8, 16, (3, 3), strides=2, rngs=rngs)
        self.head = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, image: Array) -> Array:
        x = nnx.max_pool(nnx.relu(self.norm(self.first(image))), (2, 2), (2, 2))
        return nnx.softmax(self.head(nnx.relu(self.second(x)).mean((1, 2))))


class _Mlp(nnx.Module):
    """Linear layers with layer normalisation and dropout."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.norm = nnx.Linear(12, 24, rngs=rngs), nnx.LayerNorm(24, rngs=rngs)
        self.dropout, self.second = nnx.Dropout(0.2, rngs=rngs), nnx.Linear(24, 3, rngs=rngs)

    def __call__(self, features: Array) -> Array:
        return self.second(self.dropout(nnx.gelu(self.norm(self.first(features)))))


class _Encoder(nnx.Module):
    """Token ids through multi-head attention."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Embed(60, 16, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 16, decode=False, rngs=rngs)
        self.norm, self.head = nnx.LayerNorm(16, rngs=rngs), nnx.Linear(16, 4, rngs=rngs)

    def __call__(self, ids: Array) -> Array:
        x = self.embedding(ids) * 4.0
        return self.head(self.norm(x + self.attention(x)))


class _Generator(nnx.Module):
    """Noise to a picture by transposed convolutions."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.start = nnx.Linear(16, 256, rngs=rngs)
        self.first = nnx.ConvTranspose(16, 8, (4, 4), (2, 2), rngs=rngs)
        self.second = nnx.ConvTranspose(8, 3, (4, 4), (2, 2), rngs=rngs)

    def __call__(self, noise: Array) -> Array:
        x = self.start(noise).reshape(-1, 4, 4, 16)
        return jnp.tanh(self.second(nnx.leaky_relu(self.first(x), 0.2)))


class _Recurrent(nnx.Module):
    """An LSTM over all steps, and a score of the last."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.body, self.head = nnx.RNN(nnx.LSTMCell(4, 8, rngs=rngs)), nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, steps: Array) -> Array:
        return self.head(self.body(steps)[:, -1])


def cnn() -> nnx.Module:
    return _seeded(_Cnn(nnx.Rngs(7)))


def mlp() -> nnx.Module:
    return _seeded(_Mlp(nnx.Rngs(7)))


def transformer() -> nnx.Module:
    return _seeded(_Encoder(nnx.Rngs(7)))


def generator() -> nnx.Module:
    return _seeded(_Generator(nnx.Rngs(7)))


def lstm() -> nnx.Module:
    return _seeded(_Recurrent(nnx.Rngs(7)))


def _seeded(module: nnx.Module) -> nnx.Module:
    """Move biases and statistics off zero and one, and end training."""
    rng = np.random.default_rng(7)

    def moved(value: Array) -> Array:
        return value + jnp.asarray(0.1 * rng.standard_normal(value.shape), value.dtype) if value.ndim == 1 else value

    state = nnx.state(module, (nnx.Param, nnx.BatchStat))
    nnx.update(module, jax.tree.map(moved, state))
    module.eval()
    return module


cnn_example_inputs = {"image": np.zeros((1, 16, 16, 1), np.float32)}
mlp_example_inputs = {"features": np.zeros((1, 12), np.float32)}
transformer_example_inputs = {"ids": np.zeros((1, 12), np.int32)}
generator_example_inputs = {"noise": np.zeros((1, 16), np.float32)}
lstm_example_inputs = {"steps": np.zeros((1, 12, 4), np.float32)}
