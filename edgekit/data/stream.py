"""Arrays of unknown length, written piece by piece: memory holds one piece, whatever the data set."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np

from edgekit.errors import DataError


class ArrayWriter:
    """Appends samples to one ``.npy``. The header leaves room for any length (numpy pads it for this purpose).

    Attributes:
        name: of the input, for messages.
        count: samples so far.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.count = 0
        self._stream: IO[bytes] = path.open("w+b")
        self._like: np.ndarray | None = None
        self._begin = 0

    def append(self, piece: np.ndarray) -> int:
        """Write ``(samples, ...)``; returns the bytes that this took.

        Raises:
            DataError: another dtype or shape than the samples before.
        """
        piece = np.ascontiguousarray(piece)
        if self._like is None:
            self._like = piece[:0]
            self._write_header()
        elif piece.shape[1:] != self._like.shape[1:] or piece.dtype != self._like.dtype:
            raise DataError(
                "uneven-samples",
                f"samples of {self.name} differ in shape or dtype: the first have {_of(self._like)}.",
                received=f"{_of(piece)} from sample {self.count} on",
                hint="Pad, crop or resize them to one shape.",
            )
        self._stream.write(piece.data)
        self.count += len(piece)
        return piece.nbytes

    def close(self) -> None:
        """Complete the file."""
        if self._like is not None:
            self._stream.seek(0)
            self._write_header()
        self._stream.close()

    def _write_header(self) -> None:
        assert self._like is not None
        header: dict[str, Any] = {
            "descr": np.lib.format.dtype_to_descr(self._like.dtype),
            "fortran_order": False,
            "shape": (self.count, *self._like.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(self._stream, header)
        assert self._begin in (0, self._stream.tell()), "the header changed its size"
        self._begin = self._stream.tell()


def _of(array: np.ndarray) -> str:
    return f"{'x'.join(map(str, array.shape[1:])) or 'scalar'}:{array.dtype}"
