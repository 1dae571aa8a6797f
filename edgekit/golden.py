"""Golden samples: inputs of a source and its own outputs, in the one file that a kit keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.samples import save_npz
from edgekit.types import Blob, Origin

#: Inputs and outputs by name, samples first.
Pair = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class GoldenSize:
    """A few more samples, with other lengths of the free dimensions.

    Attributes:
        noise, reacts: as in `Golden`.
        edge: whether these are inputs at the edges of what the model may meet instead.
    """

    noise: dict[str, dict[str, float]]
    reacts: dict[str, bool]
    edge: bool = False


@dataclass(frozen=True, slots=True)
class Golden:
    """Golden samples: inputs and the source's own outputs.

    Attributes:
        file: ``.npz`` with ``inputs/NAME`` and ``outputs/NAME``, samples first; those of other sizes under
            ``sizes/NUMBER/``.
        inputs: whether the inputs are the user's or generated.
        samples: how many.
        noise: per output, how far the source moves when nothing but rounding changes, by method.
        reacts: per input, whether any output depends on it.
        sizes: the same for samples of other sizes, and at the edges.
        ranges: least and largest number of each input over all real samples that these were taken from.
    """

    file: Blob
    inputs: Origin
    samples: int
    noise: dict[str, dict[str, float]]
    reacts: dict[str, bool]
    sizes: tuple[GoldenSize, ...] = ()
    ranges: dict[str, tuple[float, ...]] = field(default_factory=dict)


def golden_file(
    folder: Path, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray], sizes: Sequence[Pair] = ()
) -> Path:
    """Write golden samples, and some of other sizes, in the form a kit keeps."""
    path = folder / "golden.npz"
    sets = {"": (inputs, outputs), **{f"sizes/{index}/": pair for index, pair in enumerate(sizes)}}
    save_npz(
        path,
        [
            (f"{prefix}{kind}/{name}", array)
            for prefix, pair in sets.items()
            for kind, arrays in zip(("inputs", "outputs"), pair, strict=True)
            for name, array in arrays.items()
        ],
    )
    return path


def golden_pairs(path: Path, sizes: int) -> tuple[Pair, ...]:
    """What `golden_file` wrote: the samples, and after them those of so many other sizes."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return tuple(_pair_in(prefix, arrays) for prefix in ("", *(f"sizes/{index}/" for index in range(sizes))))


def _pair_in(prefix: str, arrays: dict[str, np.ndarray]) -> Pair:
    return _under(f"{prefix}inputs/", arrays), _under(f"{prefix}outputs/", arrays)


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
