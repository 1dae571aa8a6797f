"""Which operators do the damage: real files, every operator quantized alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.quantizer.journal import FOLDER
from edgekit.quantizer.layers import only, worst_first
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.sensitivity import sensitivity
from tests.cli.command import copied, snapshot
from tests.quantizer import kits

#: The convolution behind the planted channel, as each target calls it.
CULPRITS = {"onnx": "Conv_2", "openvino": "c2", "tflite": "conv_general_dilated"}


def test_the_worst_operator_is_found_by_halving() -> None:
    damage = dict.fromkeys("abcdefghijklmnop", 0.001) | {"k": 1.0}
    asked: list[str] = []

    def noise(kept: Sequence[str]) -> float:
        asked.append("".join(kept))
        return sum(damage[name] for name in asked[-1])

    found = worst_first(tuple(damage), noise)
    assert next(found) == "k"
    assert len(asked) == 8  # two halves of 16, 8, 4 and 2
    assert sorted(["k", *found]) == sorted(damage)


def test_several_bad_operators_come_out_in_their_order() -> None:
    damage = dict.fromkeys("abcdefgh", 0.0) | {"b": 1.0, "g": 3.0, "h": 2.0}
    found = list(worst_first(tuple(damage), lambda kept: sum(damage[name] for name in kept)))
    assert found[:3] == ["g", "h", "b"]


def test_the_search_ends_with_its_budget() -> None:
    left = iter([1.0, 2.0])
    assert list(worst_first(tuple("abcd"), lambda kept: next(left, None))) == []


def test_one_operator_alone_leaves_the_others_in_float() -> None:
    recipe = only(Recipe(left_float=("type:Softmax",)), ("a", "b", "c"), ("b",))
    assert recipe == Recipe(left_float=("type:Softmax", "a", "c"))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_the_planted_layer_is_the_worst(target: str, artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "planted", target), tmp_path)
    train, test = kits.data(tmp_path, calibration=80, evaluation=60)
    result = sensitivity(kit, train, eval_data=test, labels="label")
    assert result.ok
    assert result.verdict == "verified"
    (row,) = result.results
    assert (row.target, row.precision, row.recipe, row.not_measured) == (target, "int8", "int8", 0)
    worst, *others = row.layers
    assert CULPRITS[target] in worst.layer
    assert worst.sqnr_db is not None
    assert worst.sqnr_db < 5
    behind = others[2 if target == "tflite" else 0]  # there, whatever touches the bad tensor suffers
    assert behind.sqnr_db is None or behind.sqnr_db > worst.sqnr_db + 15
    assert worst.metric_drop is not None
    assert worst.metric_drop > 0.3
    assert worst.kind
    assert 0.99 < sum(layer.low_bit_macs or 0 for layer in row.layers) < 1.01
    assert not (kit / FOLDER).exists()
    assert [path.name for path in (kit / "results").glob("sensitivity-*.json")]


@pytest.mark.slow
def test_a_budget_leaves_operators_out_and_says_so(artifacts: Path, tmp_path: Path) -> None:
    kit = copied(kits.kit(artifacts, "digits", "tflite"), tmp_path)
    train, test = kits.data(tmp_path, calibration=40, evaluation=40)
    result = sensitivity(kit, train, eval_data=test, labels="label", trials=2)
    (row,) = result.results
    assert len(row.layers) == 2
    assert row.not_measured >= 3
    assert row.verdict == "weak"
    assert "budget" in row.reasons[0]


def test_a_precision_without_such_operators_is_refused(artifacts: Path, tmp_path: Path) -> None:
    kit = kits.kit(artifacts, "digits", "tflite")
    before = snapshot(kit)
    train, _ = kits.data(tmp_path, calibration=20)
    with pytest.raises(UsageError) as caught:
        sensitivity(kit, train, precision="fp16")
    assert caught.value.code == "no-layers"
    assert snapshot(kit) == before
