"""An array on disk that is written piece by piece. Part of the device core."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class ArrayFile:
    """A ``.npy`` file of a known shape. Unlike a memory map, nothing of it stays in this process.

    Attributes:
        shape: of the whole, pieces along the first axis.
        dtype: of its elements.
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._path = path
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            self._start = file.tell()
            file.truncate(self._start + self._step * shape[0])

    def write(self, place: int, array: np.ndarray) -> None:
        """Put pieces ``(pieces, ...)`` where the first of them belongs."""
        with self._path.open("r+b") as file:
            file.seek(self._start + place * self._step)
            np.ascontiguousarray(array, self.dtype).tofile(file)

    def read(self, place: int, count: int) -> np.ndarray:
        """``count`` pieces from ``place`` on."""
        shape = (count, *self.shape[1:])
        offset = self._start + place * self._step
        elements = int(np.prod(shape, dtype=np.int64))
        return np.fromfile(self._path, self.dtype, elements, offset=offset).reshape(shape)

    @property
    def _step(self) -> int:
        """Bytes of one piece."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
