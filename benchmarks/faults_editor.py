"""What it takes to plant faults: an open artifact of some format that can be changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Arrays = Mapping[str, np.ndarray]

#: Numbers under this that are added under a root are taken for an epsilon.
SMALL = 0.02


class Absent(Exception):
    """This artifact has no place for the fault."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored tensor as one operator uses it.

    Attributes:
        operator: its name, as `edgekit.surgery` reads it.
        array: the numbers.
        handle: where the editor finds it again.
        out_axis, in_axis: of weights: the axes of output and input channels.
    """

    operator: str
    array: np.ndarray
    handle: Any
    out_axis: int = 0
    in_axis: int = 1


class Editor(Protocol):
    """An open artifact of one format; names of operators are those that `edgekit.surgery` reads."""

    def write(self, folder: Path) -> Path:
        """Write the changed artifact. Returns its entry file."""
        ...

    def weights(self) -> list[Stored]:
        """Kernels of convolutions and matrices that are stored, in the order of execution."""
        ...

    def biases(self) -> list[Stored]:
        """Vectors that are added to the results of those, those of zeros left out."""
        ...

    def vectors(self) -> list[Stored]:
        """Vectors that elementwise operators multiply with, add or subtract."""
        ...

    def everything(self) -> list[Stored]:
        """Every stored tensor of floating point, in bodies of loops too."""
        ...

    def put(self, stored: Stored, array: np.ndarray) -> None:
        """Store other numbers for this operator alone."""
        ...

    def scale(self, stored: Stored, factor: float) -> None:
        """Scale weights, through their quantization scale where they are integers."""
        ...

    def paddings(self) -> list[str]:
        """Operators that pad both sides, or compute as if."""
        ...

    def shift_padding(self, operator: str) -> str:
        """Move one row of padding from the end to the beginning. Returns the operator that now pads."""
        ...

    def limits(self) -> list[str]:
        """Operators that hold their result under 6."""
        ...

    def lift(self, operator: str) -> None:
        """Leave out the upper limit."""
        ...

    def transposes(self) -> list[str]:
        """Operators that exchange axes behind the batch, of known lengths over 1."""
        ...

    def misread(self, operator: str) -> None:
        """Give the numbers the new shape in their old order."""
        ...

    def softmaxes(self) -> list[str]:
        """Operators with a softmax over the last axis of three or more."""
        ...

    def turn(self, operator: str) -> None:
        """Take the axis before the last instead."""
        ...

    def epsilons(self) -> list[tuple[str, float]]:
        """Operators that hold a small number under a root, and the number."""
        ...

    def set_epsilon(self, operator: str, value: float) -> None: ...

    def inputs(self) -> list[tuple[str, tuple[int | None, ...], str]]:
        """Name, shape and dtype."""
        ...

    def scale_input(self, name: str, factor: float) -> str:
        """Multiply an input before its first use. Returns the new operator."""
        ...

    def misread_input(self, name: str) -> str:
        """Take the last axis of an input for its first behind the batch. Returns the first new operator."""
        ...

    def spoil(self, name: str, low: float, high: float) -> str:
        """Make the first output NaN where the mean of an input is between two numbers. Returns the new operator.

        The root of ``(mean - low) * (mean - high)`` is; elsewhere next to nothing of it is added.
        """
        ...

    def fix_batch(self) -> None:
        """Declare a batch of 1."""
        ...

    def reorder_outputs(self) -> None:
        """Give the outputs in another order."""
        ...

    def shift_zero_point(self, number: int) -> str:
        """Shift the zero point that one operator reads its input by. Returns the operator."""
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """What a fault is made with.

    Attributes:
        weights: of the source, see `faults_models`.
        large: many inputs by name.
        number: chooses the place among those that there are.
    """

    weights: Arrays
    large: Arrays
    number: int


def one_of(found: Sequence[Any], given: Given) -> Any:
    """The place that the number chooses.

    Raises:
        Absent: there is none.
    """
    if not found:
        raise Absent("there is no place for it")
    return found[given.number % len(found)]


def misread_as(shape: Sequence[int | None]) -> tuple[list[int | None], list[int]]:
    """The layout that an input is taken for: channels first where it has them last, or the other way round.

    Args:
        shape: of the input, its batch first.

    Returns:
        Lengths behind the batch in the layout it is taken for, and the order of axes that leads back.
    """
    rank = len(shape)
    if rank < 4 or (shape[-1] or rank) < 4:  # three channels at the end, or features behind steps
        return [shape[-1], *shape[1:-1]], [0, *range(2, rank), 1]
    return [*shape[2:], shape[1]], [0, rank - 1, *range(1, rank - 1)]
