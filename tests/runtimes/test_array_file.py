"""Arrays that are written piece by piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.runtimes.array_file import ArrayFile


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_pieces_make_an_ordinary_file(dtype: str, tmp_path: Path) -> None:
    wanted = np.random.default_rng(0).integers(0, 2, (5, 3, 2)).astype(dtype)
    made = ArrayFile(tmp_path / "array.npy", np.dtype(dtype), wanted.shape)
    made.write(3, wanted[3:])
    made.write(0, wanted[:3].transpose(0, 2, 1).copy().transpose(0, 2, 1))  # in any order, of any layout in memory
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy", mmap_mode="r"), wanted)
    np.testing.assert_array_equal(made.read(1, 2), wanted[1:3])


def test_what_was_not_written_is_zero(tmp_path: Path) -> None:
    made = ArrayFile(tmp_path / "array.npy", np.dtype("float32"), (2, 3))
    made.write(1, np.ones((1, 3)))
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), [[0, 0, 0], [1, 1, 1]])
