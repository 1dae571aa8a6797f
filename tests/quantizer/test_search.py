"""How a recipe is chosen among several, within a budget, over a kill."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from edgekit.errors import UsageError
from edgekit.jobs.protocol import Progress
from edgekit.progress import Update
from edgekit.quantizer.budget import SEARCH_CALLS, Budget, Meter
from edgekit.quantizer.journal import FOLDER, Journal, Score
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import LayerInfo, MacCount
from edgekit.quantizer.search import Found, search
from edgekit.quantizer.trials import Scorer

FIRST, SECOND, THIRD = Recipe(), Recipe(ranges="histogram"), Recipe(bias_correction="fast")


def scored(
    decibel: float | None,
    *,
    low_bit: int | None = 100,
    outcome: str = "ran",
    drop: float | None = None,
    size: int = 1000,
    seconds: float = 1.0,
) -> Score:
    macs = None if low_bit is None else MacCount(low_bit, 100)
    infos = (LayerInfo("a", "Conv", 60), LayerInfo("b", "MatMul", 40))
    metric = None if drop is None else 0.9 - drop
    return Score(outcome, "" if outcome == "ran" else "why", decibel, metric, drop, macs, infos, size, seconds)


@dataclass
class Table:
    """Scores that were measured elsewhere: the rules of a choice are about scores, not about engines."""

    scores: dict[Recipe, Score | UsageError]
    asked: list[Recipe] = field(default_factory=list)

    def score(self, recipe: Recipe, update: Update) -> Score:
        self.asked.append(recipe)
        update(Progress("quantize to int8"))
        found = self.scores[recipe]
        if isinstance(found, UsageError):
            raise found
        return found


def chosen(
    scores: dict[Recipe, Score | UsageError],
    *,
    budget: Budget | None = None,
    max_drop: float | None = None,
    seen: list[Progress] | None = None,
) -> Found:
    scorer = cast(Scorer, Table(scores))
    told = seen if seen is not None else []
    return search(scorer, tuple(scores), Meter(budget or Budget(trials=20)), max_drop, told.append)


def outcomes(found: Found, max_drop: float | None = None) -> list[tuple[str, str]]:
    return [(trial.recipe, trial.outcome) for trial in found.trials(max_drop)]


def test_the_least_noise_wins() -> None:
    found = chosen({FIRST: scored(30.0), SECOND: scored(33.0), THIRD: scored(20.5)})
    assert outcomes(found) == [("int8", "worse"), ("int8_histogram", "chosen"), ("int8_biasfast", "worse")]


def test_an_equal_output_has_no_noise() -> None:
    assert outcomes(chosen({FIRST: scored(90.0), SECOND: scored(None)}))[1] == ("int8_histogram", "chosen")


def test_leaving_arithmetic_in_float_is_no_way_to_win() -> None:
    found = chosen(
        {FIRST: scored(30.0, low_bit=100), SECOND: scored(60.0, low_bit=97), THIRD: scored(31.0, low_bit=98)}
    )
    assert [trial.outcome for trial in found.trials(None)] == ["worse", "worse", "chosen"]
    assert found.trials(None)[1].reason == "only 97% of the arithmetic in few bits."


def test_where_only_weights_are_small_a_larger_file_is_no_way_to_win() -> None:
    found = chosen({FIRST: scored(15.0, low_bit=None), SECOND: scored(22.0, low_bit=None, size=1200)})
    assert [trial.outcome for trial in found.trials(None)] == ["chosen", "worse"]


def test_a_wrong_artifact_with_all_the_arithmetic_does_not_push_out_one_that_works() -> None:
    found = chosen({FIRST: scored(-3.0, outcome="rejected"), SECOND: scored(30.0, low_bit=90)})
    assert outcomes(found) == [("int8", "rejected"), ("int8_histogram", "chosen")]


def test_the_best_of_wrong_ones_is_judged_again() -> None:
    found = chosen({FIRST: scored(3.0, outcome="rejected"), SECOND: scored(12.0, outcome="rejected")})
    assert found.chosen is not None
    assert found.chosen.recipe == SECOND


def test_one_that_keeps_the_accuracy_budget_comes_before_one_with_less_noise() -> None:
    found = chosen({FIRST: scored(30.0, drop=0.02), SECOND: scored(28.0, drop=0.0)}, max_drop=0.01)
    assert outcomes(found, 0.01) == [("int8", "worse"), ("int8_histogram", "chosen")]
    assert found.trials(0.01)[0].reason == "loses 0.0200 of the metric, more than 0.01."


@pytest.mark.parametrize("outcome", ["failed", "crashed", "unrunnable", "timeout", "out-of-memory"])
def test_a_recipe_that_does_not_work_is_a_trial_with_its_reason(outcome: str) -> None:
    found = chosen({FIRST: scored(None, outcome=outcome), SECOND: scored(30.0)})
    assert outcomes(found) == [("int8", outcome), ("int8_histogram", "chosen")]
    assert found.trials(None)[0].reason == "why"


def test_nothing_works() -> None:
    found = chosen({FIRST: scored(None, outcome="crashed"), SECOND: scored(None, outcome="failed")})
    assert found.chosen is None
    assert outcomes(found) == [("int8", "crashed"), ("int8_histogram", "failed")]


def test_a_later_recipe_that_is_refused_is_a_trial_and_the_first_one_an_error() -> None:
    refusal = UsageError("no-such-thing", "this model has no such thing.", hint="Leave it out.")
    found = chosen({FIRST: scored(30.0), SECOND: refusal})
    assert outcomes(found) == [("int8", "chosen"), ("int8_histogram", "failed")]
    with pytest.raises(UsageError, match="no such thing"):
        chosen({FIRST: refusal, SECOND: scored(30.0)})


def test_the_first_trial_sets_the_budget() -> None:
    seven = {Recipe(seed=seed): scored(30.0, seconds=2.0) for seed in range(7)}
    found = chosen(dict(seven), budget=Budget())
    assert len(found.tried) == SEARCH_CALLS
    slower = {recipe: scored(30.0, seconds=2.0 if recipe.seed == 0 else 4.0) for recipe in seven}
    assert len(chosen(dict(slower), budget=Budget()).tried) == 3  # after 10 seconds: an average one still fits
    assert len(chosen(dict(seven), budget=Budget(trials=6)).tried) == 6
    assert len(chosen(dict(seven), budget=Budget(max_seconds=7.0)).tried) == 3


def test_what_takes_long_is_left_out_where_it_does_not_fit() -> None:
    full = Recipe(bias_correction="full", samples=64)  # one calibration more for each of the two layers
    scores = {FIRST: scored(30.0), full: scored(40.0), SECOND: scored(33.0)}
    assert [one.recipe for one in chosen(dict(scores), budget=Budget(max_seconds=3.5)).tried] == [FIRST, SECOND]
    assert [one.recipe for one in chosen(dict(scores), budget=Budget(max_seconds=4.0)).tried] == [FIRST, full, SECOND]


def test_half_of_a_budget_that_is_given_is_left_for_accuracy_control() -> None:
    seven = {Recipe(seed=seed): scored(30.0, drop=0.5, seconds=2.0) for seed in range(7)}
    assert len(chosen(dict(seven), budget=Budget(trials=6), max_drop=0.01).tried) == 3
    assert len(chosen(dict(seven), budget=Budget(), max_drop=0.01).tried) == SEARCH_CALLS


def test_one_trial_is_made_whatever_the_budget() -> None:
    assert (
        len(chosen({FIRST: scored(30.0, seconds=9.0), SECOND: scored(31.0)}, budget=Budget(max_seconds=0.1)).tried) == 1
    )


@pytest.mark.parametrize("bad", [{"trials": 0}, {"max_seconds": 0.0}, {"max_seconds": float("nan")}])
def test_a_budget_of_nothing(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"trial|time"):
        Budget(**bad)  # type: ignore[arg-type]  # a time is no count, which is the point of neither


def test_progress_tells_the_recipe_and_the_time_left() -> None:
    seen: list[Progress] = []
    chosen({FIRST: scored(30.0, seconds=3.0), SECOND: scored(31.0)}, seen=seen)
    assert [progress.stage for progress in seen] == [
        "recipe 1 of 2, int8: quantize to int8",
        "recipe 2 of 2, int8_histogram, about 3 s left: quantize to int8",
    ]


def test_what_was_tried_outlives_the_command(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {"artifact": "a"})
    journal.put("one", scored(30.0, drop=0.1))
    journal.put("two", scored(None, low_bit=None))
    again = Journal(tmp_path, {"artifact": "a"})
    assert again.get("one") == scored(30.0, drop=0.1)
    assert again.get("two") == scored(None, low_bit=None)
    assert Journal(tmp_path, {"artifact": "b"}).get("one") is None


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    Journal(tmp_path, "x").put("one", scored(30.0))
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_text(path.read_text() + '\n{"recipe": "two", "sco')
    again = Journal(tmp_path, "x")
    assert again.get("one") == scored(30.0)
    assert again.get("two") is None
    again.put("three", scored(31.0))
    assert Journal(tmp_path, "x").get("three") == scored(31.0)


def test_nothing_is_left_when_the_command_ends_well(tmp_path: Path) -> None:
    journal, other = Journal(tmp_path, "x"), Journal(tmp_path, "y")
    journal.sweep()  # nothing was written yet
    journal.put("one", scored(30.0))
    other.put("one", scored(30.0))
    journal.sweep()
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]
    other.sweep()
    assert not list(tmp_path.iterdir())
