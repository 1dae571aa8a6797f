"""Data as users write it; imported in a process of its own by `test_factory`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) % 4


def dicts() -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, 20, 8):
        yield {"x": X[start : start + 8], "kind": Y[start : start + 8]}


def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, 20, 8):
        yield X[start : start + 8], Y[start : start + 8]


def nested() -> Iterator[Any]:
    yield {"x": X}, Y


def whole() -> np.ndarray:
    return X


def jax_values() -> Iterator[Any]:
    import jax.numpy as jnp

    yield jnp.asarray(X), jnp.asarray(Y)


def torch_loader() -> Any:
    import torch

    return torch.utils.data.DataLoader(torch_dataset(), batch_size=8)


def torch_dataset() -> Any:
    import torch

    return torch.utils.data.TensorDataset(torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y))


def keras_dataset() -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]

    return Batches()


def tensorflow_dataset() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def from_file() -> np.ndarray:
    """Opens a file relative to where the user called from."""
    array: np.ndarray = np.load("mine.npy")
    return array


def forever() -> Iterator[np.ndarray]:
    while True:
        yield X


def large() -> Iterator[np.ndarray]:
    """500 MB in 250 batches; the last of them tells the memory of this process at its largest."""
    for number in range(250):
        if number == 249:
            peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
            Path("peak.txt").write_text(str(int(peak[1]) // 1024 if peak else 0))
        yield np.full((500, 1000), number, np.float32)


def growing() -> Iterator[np.ndarray]:
    yield X
    yield X[:, :2]


def sequences() -> Iterator[np.ndarray]:
    yield np.zeros((2, 5), np.float32)
    yield np.zeros((2, 7), np.float32)


def one_sample() -> Iterator[np.ndarray]:
    yield from X


def words() -> Iterator[Any]:
    yield ["a", "b"]


def nothing() -> Iterator[np.ndarray]:
    yield from ()


def number() -> int:
    return 3


def raises() -> Iterator[np.ndarray]:
    yield X
    raise RuntimeError("the disk is gone")


def poisoned() -> Iterator[np.ndarray]:
    bad = X.copy()
    bad[7, 1] = np.nan
    yield X
    yield bad
