"""Multiply-accumulates of a model file, and how many of them take two operands of at most eight bits.

One measure for every tool's file: leaving layers in float is no way to win. An operand counts as quantized when a
quantizer of at most 256 levels, or a stored integer, stands before it with nothing between that computes. Counted for
one sample; a loop counts as often as the caller says, since files do not tell. A product of two constants, such as that
of a recurrent cell's first state, is none: it does not depend on the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Macs(NamedTuple):
    """How much a model multiplies: ``low`` of ``total`` in at most eight bits."""

    low: int
    total: int

    @property
    def share(self) -> float:
        return self.low / self.total if self.total else 0.0


NONE = Macs(0, 0)


def total(parts: Iterator[Macs]) -> Macs:
    found = list(parts)
    return Macs(sum(part.low for part in found), sum(part.total for part in found))


def times(part: Macs, factor: int) -> Macs:
    return Macs(part.low * factor, part.total * factor)


def product(shape: Any) -> int:
    return math.prod(int(length) for length in shape)


def einsum(equation: str, shapes: Sequence[Sequence[int]]) -> int:
    """Of an Einstein sum of two operands or more: every combination of its indices once."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    lengths = {
        letter: size
        for term, shape in zip(terms, shapes, strict=True)
        for letter, size in zip(term, shape, strict=True)
    }
    return product(lengths.values()) if len(terms) > 1 else 0
