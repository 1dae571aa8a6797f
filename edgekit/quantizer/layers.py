"""What quantizing a few operators alone does, and which operators do most of the damage."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edgekit.quantizer.journal import Score
from edgekit.quantizer.recipe import Recipe


def only(recipe: Recipe, layers: Sequence[str], kept: Sequence[str]) -> Recipe:
    """The same recipe for a few operators alone.

    Args:
        recipe: whose settings are used.
        layers: every operator that it quantizes.
        kept: those that should stay quantized.
    """
    others = tuple(layer for layer in layers if layer not in set(kept))
    return replace(recipe, left_float=(*recipe.left_float, *others))


def noise_alone(score: Score, kept: int) -> float:
    """Noise of some operators quantized alone, relative to the signal.

    What only moves values cannot be quantized without a neighbour, and no method makes a file of it: one such operator
    does no damage, and a group that fails is worth looking into.

    Args:
        score: of that recipe.
        kept: how many operators stayed quantized.
    """
    return 0.0 if score.outcome == "failed" and kept == 1 else score.noise


def worst_first(layers: Sequence[str], noise: Callable[[Sequence[str]], float | None]) -> Iterator[str]:
    """Operators by the damage they do, the worst first, found by halving what is noisiest.

    Noise of operators adds up at the output, nearly, so the noisiest half holds the worst operator or many bad ones.
    One bad operator among ``n`` is found with ``2 log2(n)`` measurements.

    Args:
        layers: in execution order: neighbours, which often are quantized together, stay together longest.
        noise: of some operators quantized alone, relative to the signal; None ends the search.
    """
    groups: list[tuple[float, int, Sequence[str]]] = [(-float("inf"), 0, layers)]
    while groups:
        _, start, group = heapq.heappop(groups)
        if len(group) == 1:
            yield group[0]
            continue
        middle = len(group) // 2
        for offset, half in ((0, group[:middle]), (middle, group[middle:])):
            measured = noise(half)
            if measured is None:
                return
            heapq.heappush(groups, (-measured, start + offset, half))
