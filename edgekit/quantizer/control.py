"""Accuracy control: layers go back to float, the most damaging first, until the user's accuracy budget holds.

The search works on recipes, not on graphs, so that it is the same for every target, and what it finds replays.
See docs/decisions/0006-one-accuracy-control.md for how it compares with NNCF's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.errors import UsageError
from edgekit.progress import Update
from edgekit.quantizer.budget import CONTROL_CALLS, Meter
from edgekit.quantizer.layers import noise_alone, only, worst_first
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.search import Found, Tried, meets, refused, staged
from edgekit.quantizer.trials import Scorer


def control(scorer: Scorer, found: Found, max_drop: float, meter: Meter, update: Update) -> Found:
    """Give layers back to float until the loss of the metric is within the budget, then as few as that needs.

    Args:
        scorer: tries recipes on the selection samples.
        found: of the search; its chosen recipe runs.
        max_drop: largest accepted loss of the metric.
        meter: counts what all trials of this artifact take.
        update: receives progress.

    Returns:
        The best that was reached, with notes where that is not enough.
    """
    assert found.chosen is not None
    return _Control(scorer, found, max_drop, meter, update).run()


class _Control:
    def __init__(self, scorer: Scorer, found: Found, max_drop: float, meter: Meter, update: Update) -> None:
        assert found.chosen is not None
        self._scorer = scorer
        self._found = found
        self._start: Tried = found.chosen
        self._max_drop = max_drop
        self._meter = meter
        self._update = update
        self._layers = self._start.score.layers
        self._tried: list[Tried] = []
        self._over = False

    def run(self) -> Found:
        if not self._layers:
            return self._ended(
                self._start, f"{self._start.recipe.precision} has no layers that could be given back to float."
            )
        left: list[str] = []
        best = self._start
        for layer in worst_first(self._layers, self._noise):
            left.append(layer)
            if len(left) == len(self._layers):
                return self._ended(best, "no artifact with a quantized layer left keeps the accuracy budget.")
            one = self._try(left)
            if one is None:
                break
            best = min(best, one, key=self._order)
            if meets(one.score, self._max_drop):
                return self._ended(self._fewest(one, left))
        return self._ended(best, "the budget for accuracy control was used up.")

    def _noise(self, kept: Sequence[str]) -> float | None:
        """Noise of some layers quantized alone; None when the budget is used up."""
        score = self._score(only(self._start.recipe, self._layers, kept), f"{len(kept)} of {len(self._layers)} layers")
        return None if score is None else noise_alone(score.score, len(kept))

    def _try(self, left: Sequence[str]) -> Tried | None:
        recipe = replace(self._start.recipe, left_float=(*self._start.recipe.left_float, *left))
        one = self._score(recipe, f"{len(left)} of {len(self._layers)} layers in float")
        if one is not None:
            self._tried.append(one)
        return one

    def _fewest(self, one: Tried, left: Sequence[str]) -> Tried:
        """Quantize again what need not be float: the last layer that was given back may have been all it took."""
        kept = list(left)
        for layer in left[:-1]:
            fewer = [other for other in kept if other != layer]
            again = self._try(fewer)
            if again is None:
                break
            if meets(again.score, self._max_drop):
                one, kept = again, fewer
        return one

    def _score(self, recipe: Recipe, what: str) -> Tried | None:
        if not self._meter.allows(CONTROL_CALLS):
            return None
        update = staged(f"accuracy control, {what}{self._meter.left(CONTROL_CALLS, None)}", self._update)
        try:
            score = self._scorer.score(recipe, update)
        except UsageError as error:
            score = refused(error)
        self._meter.add(score.seconds)
        return Tried(recipe, score)

    @staticmethod
    def _order(one: Tried) -> tuple[bool, bool, float, float]:
        """Better comes first: it runs, it is not wrong, it loses less, it is less noisy."""
        score = one.score
        drop = float("inf") if score.drop is None else score.drop
        return not score.ran, score.outcome != "ran", drop, score.noise

    def _ended(self, chosen: Tried, why: str = "") -> Found:
        notes = self._found.notes
        if why:
            notes = (*notes, f"{why} {self._reached(chosen)}")
        return Found(chosen, (*self._found.tried, *self._tried), notes)

    def _reached(self, chosen: Tried) -> str:
        score = chosen.score
        count = len(chosen.recipe.left_float) - len(self._start.recipe.left_float)
        lost = "no figure" if score.drop is None else f"a loss of {score.drop:.4f}"
        share = "" if score.share is None else f", {score.share:.0%} of the arithmetic in few bits"
        return (
            f"The best on the samples for selection is {lost} (allowed: {self._max_drop:g}) with {count} of "
            f"{len(self._layers)} layers in float{share}."
        )
