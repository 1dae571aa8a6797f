"""A short search over recipes, on samples that take no part in the reported figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.figures import Trial
from edgekit.jobs.protocol import Progress
from edgekit.progress import Update
from edgekit.quantizer.budget import SEARCH_CALLS, Meter
from edgekit.quantizer.journal import Score
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.trials import Scorer

#: A recipe may win by noise only among those that have at least this share of the most low-bit arithmetic: leaving
#: layers in float is no way to win.
MACS_SHARE = 0.98

#: Where no arithmetic is in few bits, what is compared is at most this much larger than the smallest.
SIZE_SHARE = 1.15

#: Of a budget that the user gives, what a search leaves for giving layers back to float.
SEARCH_PART = 0.5


#: Inferences that a full bias correction makes for each layer.
BIAS_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Tried:
    """A recipe and its score."""

    recipe: Recipe
    score: Score


@dataclass(frozen=True, slots=True)
class Found:
    """What a search ended with.

    Attributes:
        chosen: the best; None when no recipe gave a file that runs.
        tried: in order.
        notes: what the search could not do.
    """

    chosen: Tried | None
    tried: tuple[Tried, ...]
    notes: tuple[str, ...] = ()

    def trials(self, max_drop: float | None) -> tuple[Trial, ...]:
        """For the result."""
        return tuple(_trial(one, self.chosen, max_drop) for one in self.tried)


def search(scorer: Scorer, recipes: Sequence[Recipe], meter: Meter, max_drop: float | None, update: Update) -> Found:
    """Try recipes within a budget and choose the one with the least noise at the worst output.

    Args:
        scorer: tries them.
        recipes: the best guess first; it is tried whatever the budget.
        meter: counts what they take.
        max_drop: largest accepted loss of the metric; recipes that keep it come before those that do not.
        update: receives progress.

    Raises:
        UsageError, MissingError: the first recipe says that the input is at fault.
    """
    tried: list[Tried] = []
    part = SEARCH_PART if max_drop is not None else 1.0
    for index, recipe in enumerate(recipes):
        if not meter.allows(SEARCH_CALLS, part=part, times=_times(recipe, tried)):
            continue  # a quicker one may still fit
        left = meter.left(SEARCH_CALLS, len(recipes) - index)
        stage = f"recipe {index + 1} of {len(recipes)}, {recipe.name}{left}"
        try:
            score = scorer.score(recipe, staged(stage, update))
        except UsageError as error:
            if index == 0:
                raise
            score = refused(error)
        meter.add(score.seconds)
        tried.append(Tried(recipe, score))
    return Found(best(tried, max_drop), tuple(tried))


def _times(recipe: Recipe, tried: Sequence[Tried]) -> float:
    """How long a trial takes, as a multiple of one plain calibration: full bias correction runs the model per layer."""
    layers = max((len(one.score.layers) for one in tried), default=0)
    return 1.0 + (layers * BIAS_SAMPLES / recipe.samples if recipe.bias_correction == "full" else 0.0)


def staged(stage: str, update: Update) -> Update:
    """Progress of one trial, under the name of the trial."""

    def told(progress: Progress) -> None:
        update(Progress(f"{stage}: {progress.stage}", progress.done, progress.total))

    return told


def refused(error: UsageError) -> Score:
    """The score of a recipe that its method refuses for this artifact."""
    return Score("failed", f"{error} {error.hint}", None, None, None, None, (), 0, 0.0)


def meets(score: Score, max_drop: float) -> bool:
    """Whether an artifact keeps the accuracy budget on the selection samples, and is not wrong."""
    return score.outcome == "ran" and score.drop is not None and score.drop <= max_drop


def best(tried: Sequence[Tried], max_drop: float | None) -> Tried | None:
    """The recipe to choose; None when none runs.

    One that fails its parity is chosen only where all do: it is judged again, and may be mended by giving layers
    back to float.
    """
    able = [one for one in tried if one.score.ran]
    narrowing: list[Callable[[Score], bool]] = [lambda score: score.outcome == "ran"]
    if max_drop is not None:
        narrowing.append(lambda score: meets(score, max_drop))
    for wanted in narrowing:
        able = [one for one in able if wanted(one.score)] or able
    if not able:
        return None
    most = max(one.score.share or 0.0 for one in able)
    smallest = min(one.score.size_bytes for one in able)
    able = [one for one in able if _as_quantized(one.score, most, smallest)]
    return min(able, key=lambda one: one.score.noise)


def _as_quantized(score: Score, most: float, smallest: int) -> bool:
    if score.share is None:
        return score.size_bytes <= SIZE_SHARE * smallest
    return score.share >= MACS_SHARE * most


def _trial(one: Tried, chosen: Tried | None, max_drop: float | None) -> Trial:
    score = one.score
    outcome, reason = score.outcome, score.reason
    if one is chosen:
        outcome, reason = "chosen", score.reason
    elif outcome == "ran":
        outcome, reason = "worse", _why_worse(score, chosen, max_drop)
    return Trial(one.recipe.name, outcome, reason, score.sqnr_db, score.metric, score.share, score.seconds)


def _why_worse(score: Score, chosen: Tried | None, max_drop: float | None) -> str:
    assert chosen is not None  # one that ran can be chosen
    if max_drop is not None and not meets(score, max_drop) and score.drop is not None:
        return f"loses {score.drop:.4f} of the metric, more than {max_drop:g}."
    if score.noise < chosen.score.noise:
        return "larger." if score.share is None else f"only {score.share:.0%} of the arithmetic in few bits."
    return "noisier."
