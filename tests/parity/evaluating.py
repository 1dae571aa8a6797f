"""What a reference is made of, in tests of `edgekit.parity.evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.types import TensorSpec

Array = NDArray[Any]


def stored(folder: Path, outputs: Mapping[str, Array]) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, array in outputs.items():
        np.save(folder / f"{name}.npy", array)
    return {name: folder / f"{name}.npy" for name in outputs}


def specs(*described: str) -> tuple[TensorSpec, ...]:
    """Such as ``image=?x8x8x3:float32``."""
    found = []
    for text in described:
        (name, _, rest), (lengths, _, dtype) = text.partition("="), text.partition("=")[2].partition(":")
        assert rest
        shape = tuple(None if length == "?" else int(length) for length in lengths.split("x"))
        found.append(TensorSpec(name, shape, dtype))
    return tuple(found)
