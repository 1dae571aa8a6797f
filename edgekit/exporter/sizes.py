"""Lengths to run free dimensions at: those of generated samples, and others that an artifact must keep up with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edgekit.types import Signature

#: Length of each free dimension, by name of the input and axis.
Lengths = dict[tuple[str, int], int]

#: Lengths of the first free dimension, in the order they are tried. Images with many reductions need the large ones.
SIZES = (32, 64, 16, 8, 128, 224)

#: Most elements of the free dimensions of one input: more than the largest image that is tried, with five channels.
MOST_ELEMENTS = 1 << 19

#: How far the next free dimension is from the first; networks that halve their input need powers of two.
APART = (8, 16, 32)

#: How far the second set of lengths is from the first: odd, then multiples for networks that halve, then small.
STEPS = (7, 8, 16, 32, 2)


def free_axes(signature: Signature) -> tuple[tuple[str, int], ...]:
    """Free dimensions of the inputs besides the batch, as name and axis."""
    return tuple(
        (spec.name, axis)
        for spec in signature.inputs
        for axis, length in enumerate(spec.shape)
        if axis > 0 and length is None
    )


def first_lengths(signature: Signature) -> Iterator[Lengths]:
    """Lengths to try for generated samples, best first.

    All free dimensions differ, so that an artifact which swaps two of them cannot hide; where the model refuses
    that, those of one input differ; else all are equal. Nothing free gives one empty choice. Lengths that make an
    input of too many elements are left out: a model with every dimension free may take the largest for channels.
    """
    free = free_axes(signature)
    orders = dict.fromkeys((tuple(range(len(free))), _within_input(free), (0,) * len(free)))
    for size in SIZES if free else (0,):
        for order in orders:
            for apart in APART if any(order) else (0,):
                found = {dimension: size + apart * place for dimension, place in zip(free, order, strict=True)}
                if all(elements <= MOST_ELEMENTS for elements in _elements(found).values()):
                    yield found


def _elements(lengths: Lengths) -> dict[str, int]:
    """Product of the chosen lengths, by input."""
    found: dict[str, int] = {}
    for (name, _), length in lengths.items():
        found[name] = found.get(name, 1) * length
    return found


def other_lengths(lengths: Lengths) -> Iterator[Lengths]:
    """Lengths to try after some others, best first: each differs from what it was.

    Neighbouring dimensions of an input move apart; where the model refuses that, they move together.
    """
    free = tuple(lengths)
    orders = dict.fromkeys((_within_input(free), (0,) * len(free)))
    for order in orders if free else ():
        for step in STEPS:
            yield {
                dimension: _moved(lengths[dimension], step, up=place % 2 == 1)
                for dimension, place in zip(free, order, strict=True)
            }


def lengths_of(signature: Signature, inputs: Mapping[str, np.ndarray]) -> Lengths:
    """Lengths of the free dimensions in samples that were given."""
    return {(name, axis): inputs[name].shape[axis] for name, axis in free_axes(signature)}


def resized(inputs: Mapping[str, np.ndarray], lengths: Lengths, samples: int) -> dict[str, np.ndarray]:
    """The first samples cut to other lengths, or begun again at the end: their values stay those of real samples."""
    arrays = {name: np.asarray(array[:samples]) for name, array in inputs.items()}
    for (name, axis), length in lengths.items():
        indices = np.arange(length) % arrays[name].shape[axis]
        arrays[name] = np.ascontiguousarray(np.take(arrays[name], indices, axis=axis))
    return arrays


def _within_input(free: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
    """The place of each free dimension among those of its input."""
    return tuple(sum(name == other for other, _ in free[:index]) for index, (name, _) in enumerate(free))


def _moved(length: int, step: int, *, up: bool) -> int:
    if up:
        return length + step
    return length - step if length >= 2 * step else length + 2 * step
