"""The kind of a model from its graph, and what is tried on it."""

from __future__ import annotations

import pytest

from edgekit.quantizer.jobs import check_recipe
from edgekit.quantizer.presets import candidates, changed, model_kind
from edgekit.quantizer.recipe import OUTPUTS, ModelKind, Recipe
from edgekit.quantizer.registry import METHODS, MethodRow

KINDS: tuple[ModelKind, ...] = ("convolutional", "transformer", "recurrent", "other")

#: Operators as the readers of each format name them, of models that edgekit exported.
GRAPHS = [
    ("convolutional", {"Conv": 5, "Relu": 4, "MatMul": 2, "Softmax": 1, "Reshape": 1}),
    ("convolutional", {"CONV_2D": 20, "DEPTHWISE_CONV_2D": 15, "FULLY_CONNECTED": 2, "SOFTMAX": 1}),
    ("convolutional", {"Convolution": 53, "Add": 69, "Relu": 49, "MatMul": 1}),
    ("transformer", {"MatMul": 16, "Softmax": 2, "Convolution": 1, "MVN": 5}),
    ("transformer", {"FULLY_CONNECTED": 12, "BATCH_MATMUL": 4, "SOFTMAX": 2, "CONV_2D": 1}),
    ("transformer", {"ScaledDotProductAttention": 2, "MatMul": 3}),
    ("recurrent", {"LSTM": 1, "Gemm": 1}),
    ("recurrent", {"UNIDIRECTIONAL_SEQUENCE_LSTM": 1, "FULLY_CONNECTED": 1}),
    ("recurrent", {"WHILE": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}),
    ("recurrent", {"GRUSequence": 1, "MatMul": 1}),
    ("recurrent", {"TensorIterator": 1, "MatMul": 1}),
    ("recurrent", {"FULLY_CONNECTED": 17, "LOGISTIC": 24, "TANH": 16, "MUL": 24}),
    ("convolutional", {"Conv": 20, "Sigmoid": 20, "Tanh": 2, "MatMul": 1}),
    ("other", {"Gemm": 3, "Relu": 2, "Softmax": 1}),
    ("other", {}),
]


@pytest.mark.parametrize(("kind", "operators"), GRAPHS)
def test_the_graph_tells_the_kind(kind: str, operators: dict[str, int]) -> None:
    assert model_kind(operators) == kind


@pytest.mark.parametrize("method", list(METHODS), ids=lambda row: row.name)
@pytest.mark.parametrize("kind", KINDS)
def test_every_candidate_is_one_that_its_method_takes(method: MethodRow, kind: ModelKind) -> None:
    found = candidates(method, kind)
    assert found
    assert len(set(found)) == len(found)
    for recipe in found:
        check_recipe(method, recipe)
        assert Recipe.parse(recipe.name) == recipe


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_int8_has_something_to_choose_from(target: str) -> None:
    for kind in KINDS:
        assert len(candidates(METHODS[f"{target}:int8"], kind)) > 1


def test_the_settings_of_a_recipe_that_are_not_the_default() -> None:
    assert changed(Recipe()) == set()
    assert changed(Recipe("fp16")) == set()
    assert changed(Recipe(ranges="histogram", left_float=("a",))) == {"ranges", "left_float"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_recipe_comes_before_those_that_leave_outputs_in_float(kind: ModelKind) -> None:
    """What a recipe may leave in float is a share of what the others quantize."""
    found = candidates(METHODS["tflite:int8"], kind)
    assert found[0] == Recipe()
    assert any(one.left_float == (OUTPUTS,) for one in found[1:3])
    assert any(not one.left_float for one in found[1:])


def test_nncf_has_no_outputs_to_leave_in_float() -> None:
    for row in (METHODS["openvino:int8"], METHODS["onnx:int8"]):
        assert not any(one.left_float for kind in KINDS for one in candidates(row, kind))


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_weights_are_tried_with_and_without_zero_points(target: str) -> None:
    for precision in ("int8-weights", "int4-weights"):
        assert {one.symmetric for one in candidates(METHODS[f"{target}:{precision}"], "other")} == {True, False}
