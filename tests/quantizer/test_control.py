"""Accuracy control: the planted bad layer is found, named and mended, on every target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

import edgekit
from edgekit.jobs.protocol import Progress
from edgekit.progress import Update
from edgekit.quantizer.budget import Budget, Meter
from edgekit.quantizer.control import control
from edgekit.quantizer.journal import FOLDER, Score
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import LayerInfo, MacCount
from edgekit.quantizer.search import Found, Tried
from edgekit.quantizer.trials import Scorer
from tests.cli.command import copied, snapshot
from tests.quantizer import kits
from tests.quantizer.test_sensitivity import CULPRITS

LAYERS = tuple("abcdefgh")
INFOS = tuple(LayerInfo(name, "Conv", 10) for name in LAYERS)


class Model:
    """A model whose noise is the sum of what its quantized layers add: the rules of control are about scores."""

    def __init__(self, noise: dict[str, float], drops: Sequence[str]) -> None:
        self._noise = noise
        self._drops = drops
        self.asked: list[Recipe] = []

    def score(self, recipe: Recipe, update: Update) -> Score:
        update(Progress("quantize to int8"))
        self.asked.append(recipe)
        quantized = [name for name in LAYERS if name not in recipe.left_float]
        decibel = -sum(self._noise.get(name, 0.01) for name in quantized)
        drop = 0.1 * sum(name in quantized for name in self._drops)
        return Score("ran", "", decibel, 0.9 - drop, drop, MacCount(10 * len(quantized), 80), INFOS, 1000, 1.0)


def controlled(
    model: Model, max_drop: float = 0.05, budget: Budget | None = None, seen: list[Progress] | None = None
) -> Found:
    told = seen if seen is not None else []
    scorer = cast(Scorer, model)
    first = Tried(Recipe(), scorer.score(Recipe(), told.append))
    meter = Meter(budget or Budget(trials=100))
    return control(scorer, Found(first, (first,)), max_drop, meter, told.append)


def test_the_one_bad_layer_goes_back_to_float() -> None:
    found = controlled(Model({"f": 20.0}, "f"))
    assert found.chosen is not None
    assert found.chosen.recipe.left_float == ("f",)
    assert found.notes == ()
    assert [trial.recipe for trial in found.trials(0.05)] == ["int8", "int8_float1"]


def test_a_noisy_layer_that_does_no_harm_is_quantized_again() -> None:
    found = controlled(Model({"b": 20.0, "f": 15.0}, "f"))
    assert found.chosen is not None
    assert found.chosen.recipe.left_float == ("f",)


def test_two_bad_layers_both_go() -> None:
    found = controlled(Model({"b": 20.0, "f": 15.0}, "bf"))
    assert found.chosen is not None
    assert set(found.chosen.recipe.left_float) == {"b", "f"}


def test_a_result_without_a_quantized_layer_is_no_way_out() -> None:
    model = Model({}, LAYERS)
    found = controlled(model, max_drop=0.0)
    assert found.chosen is not None
    assert len(found.chosen.recipe.left_float) < len(LAYERS)
    assert "no artifact with a quantized layer left keeps the accuracy budget" in found.notes[0]
    assert all(set(LAYERS) - set(recipe.left_float) for recipe in model.asked)


def test_when_the_budget_is_over_the_best_is_kept_with_its_cost() -> None:
    found = controlled(Model({"b": 20.0, "f": 15.0}, "bf"), budget=Budget(trials=8))
    assert found.chosen is not None
    assert found.chosen.recipe.left_float == ("b",)
    assert found.notes == (
        "the budget for accuracy control was used up. The best on the samples for selection is a loss of 0.1000 "
        "(allowed: 0.05) with 1 of 8 layers in float, 88% of the arithmetic in few bits.",
    )


def test_progress_tells_the_time_left() -> None:
    seen: list[Progress] = []
    controlled(Model({"f": 20.0}, "f"), budget=Budget(trials=50), seen=seen)
    assert seen[2].stage == "accuracy control, 4 of 8 layers, at most 49 s left: quantize to int8"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_the_planted_layer_is_found_named_and_mended(target: str, artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "planted", target), tmp_path)
    train, test = kits.data(tmp_path)
    options = {"eval_data": test, "labels": "label", "recipe": "int8", "pays": False}
    broken = edgekit.quantize(kit, train, **options)
    assert broken.verdict == "failed"
    assert broken.artifacts[0].path is None

    result = edgekit.quantize(kit, train, max_drop=0.05, **options)
    (row,) = result.artifacts
    assert result.ok, row.reasons
    assert row.path is not None
    assert row.accuracy is not None
    assert row.accuracy.drop <= 0.05
    assert row.accuracy.drop_ci95[0] <= row.accuracy.drop <= row.accuracy.drop_ci95[1]
    assert row.quantization is not None
    assert any(CULPRITS[target] in name for name in row.quantization.left_float)
    # A TFLite operator's int8 output has one range, so that what writes the bad tensor has to be float too.
    assert len(row.quantization.left_float) <= (3 if target == "tflite" else 1)
    assert row.quantization.low_bit_macs is not None
    assert 0.2 < row.quantization.low_bit_macs < 0.7
    assert [trial.outcome for trial in row.quantization.trials].count("chosen") == 1
    assert not (kit / FOLDER).exists()

    again = edgekit.quantize(kit, train, **{**options, "recipe": row.path})
    assert again.artifacts[0].sha256 == row.sha256


@pytest.mark.slow
def test_a_budget_that_cannot_be_met_says_the_best_and_keeps_nothing(artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "planted", "openvino"), tmp_path)
    train, test = kits.data(tmp_path)
    before = {path: content for path, content in snapshot(kit).items() if "artifacts" in path}
    result = edgekit.quantize(
        kit, train, eval_data=test, labels="label", recipe="int8", max_drop=0.0, trials=2, pays=False
    )
    (row,) = result.artifacts
    assert row.verdict == "failed"
    assert row.path is None
    assert any("The best on the samples for selection" in reason for reason in row.reasons)
    assert {path: content for path, content in snapshot(kit).items() if "artifacts" in path} == before
