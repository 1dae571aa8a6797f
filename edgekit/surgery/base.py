"""What it takes to look inside a deployable file: see its graph, tap its tensors, cut a piece out of it.

Every operation makes a new file of the same format, which any runtime on any device then runs as it is. What is
tapped may be compiled otherwise: an output in the middle of a fused group breaks the fusion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgekit.types import TensorSpec


@dataclass(frozen=True)
class Operator:
    """One operator of a graph.

    Attributes:
        name: as the file calls it; for a TFLite file, which names tensors only, that of its first output.
        kind: such as ``Conv``, ``Convolution`` or ``CONV_2D``.
        inputs: tensors that it computes from, stored weights left out.
        outputs: tensors that it computes.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """A graph as data. Tensors are named uniquely within it.

    Attributes:
        operators: in an order in which they can run.
        inputs, outputs: tensors, by the names of the signature.
        tensors: dtype and shape (None for a free or unknown length) of every computed tensor that is known.
        quantized: of these, scale and zero point of tensors whose values are stored as integers.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, TensorSpec]
    quantized: dict[str, tuple[float, ...]] = field(default_factory=dict)


class Surgeon(Protocol):
    """Surgery on one format: a module of this folder, one row in `edgekit.surgery.registry`."""

    def read(self, path: Path) -> Graph:
        """The graph of a file.

        Raises:
            ModelError: the file cannot be read.
        """
        ...

    def tap(self, path: Path, tensors: Sequence[str], folder: Path) -> Path:
        """Write the same model with more outputs, named as the tensors; the old outputs come first.

        Returns:
            The entry file in ``folder``.
        """
        ...

    def cut(self, path: Path, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str], folder: Path) -> Path:
        """Write the piece that computes some tensors from others.

        Args:
            path: the whole model.
            inputs: tensors that become inputs, with the shape to declare.
            outputs: tensors that become outputs.
            folder: where to write it.

        Raises:
            UsageError: the outputs need more than these inputs.
        """
        ...
