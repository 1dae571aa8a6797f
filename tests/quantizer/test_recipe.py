"""Recipes: the short name decodes by rule, TOML keeps everything, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import UsageError
from edgekit.jobs.codec import from_json, to_json
from edgekit.quantizer.recipe import OUTPUTS, PRECISIONS, Recipe, read_recipe

RECIPES = st.builds(
    Recipe,
    precision=st.sampled_from(PRECISIONS),
    io=st.sampled_from(["float", "int8"]),
    model_kind=st.sampled_from(["auto", "convolutional", "transformer", "recurrent", "other"]),
    target_device=st.sampled_from(["any", "cpu", "gpu", "npu"]),
    preset=st.sampled_from(["mixed", "performance"]),
    ranges=st.sampled_from(["minmax", "histogram", "percentile", "average"]),
    bias_correction=st.sampled_from(["off", "fast", "full"]),
    smooth_quant=st.none() | st.integers(0, 100).map(lambda percent: percent / 100),
    per_channel=st.booleans(),
    activation_channels=st.booleans(),
    symmetric=st.booleans(),
    group_size=st.none() | st.just(-1) | st.integers(1, 4096),
    ratio=st.integers(1, 100).map(lambda percent: percent / 100),
    algorithm=st.sampled_from(["plain", "awq", "scale", "awq-scale", "gptq", "octav"]),
    left_float=st.sampled_from([(), (OUTPUTS,)]),
    samples=st.integers(1, 5000),
    seed=st.integers(0, 99),
)


@given(RECIPES)
def test_the_short_name_decodes_to_the_same_recipe(recipe: Recipe) -> None:
    assert Recipe.parse(recipe.name) == recipe


@given(RECIPES, st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1), max_size=3))
def test_toml_and_json_keep_everything(recipe: Recipe, layers: list[str]) -> None:
    full = Recipe(**{**vars(recipe), "left_float": tuple(layers)})
    assert Recipe.from_toml(full.to_toml()) == full
    assert from_json(Recipe, to_json(full)) == full


def test_names_are_short_and_in_a_fixed_order() -> None:
    assert Recipe().name == "int8"
    assert Recipe(ranges="histogram", samples=64, preset="performance").name == "int8_performance_histogram_n64"
    assert Recipe("int4-weights", group_size=32, ratio=0.8, algorithm="awq").name == "int4-weights_g32_r80_awq"
    assert Recipe(left_float=("conv", "type:Softmax")).name == "int8_float2"
    assert Recipe(ranges="histogram", left_float=(OUTPUTS,)).name == "int8_histogram_floatoutputs"
    assert Recipe(left_float=(OUTPUTS, "conv")).name == "int8_float2"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("int9", "precision"),
        ("int8_fuzzy", "word"),
        ("int8_n", "word"),
        ("int8_n0", "samples"),
        ("int8_smooth150", "smooth_quant"),
        ("int8_float3", "not which"),
        ("int4-weights_r0", "ratio"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Recipe.parse(name)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('range = "minmax"', "ranges"),
        ('ranges = "median"', "minmax"),
        ("samples = 0.5", "300"),
        ('left_float = "conv"', "[]"),
        ("seed = true", "0"),
        ("per_channel = 1", "true"),
    ],
)
def test_toml_that_does_not_fit_is_refused_with_what_would(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.from_toml(text)
    assert hint in caught.value.hint


def test_a_recipe_is_read_from_a_name_or_a_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('precision = "int8"\nsamples = 10\n')
    assert read_recipe("mine.toml") == read_recipe("int8_n10") == Recipe(samples=10)
    with pytest.raises(UsageError, match="no such recipe"):
        read_recipe("other.toml")
    Path("broken.toml").write_text("precision = ")
    with pytest.raises(UsageError, match="no TOML"):
        read_recipe("broken.toml")
