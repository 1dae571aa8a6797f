"""Which precisions there are, as a user is told."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import method_for, needs_data


def test_a_precision_of_a_target_is_found() -> None:
    row = method_for("openvino", "int8")
    assert (row.name, row.needs_data, row.int8_io) == ("openvino:int8", True, False)


def test_rounding_weights_by_activations_needs_data() -> None:
    row = method_for("openvino", "int4-weights")
    assert not row.needs_data
    assert not needs_data(row, Recipe.parse("int4-weights_asym"))
    assert needs_data(row, Recipe.parse("int4-weights_gptq"))


def test_data_free_precisions_need_no_data() -> None:
    assert not any(method_for("onnx", precision).needs_data for precision in ("int8-dynamic", "int4-weights", "fp16"))


def test_a_precision_that_a_target_cannot_have_lists_those_it_can() -> None:
    with pytest.raises(UsageError) as caught:
        method_for("openvino", "int8-dynamic")
    assert caught.value.code == "unknown-precision"
    assert caught.value.hint == "Precisions of openvino: int8, int8-weights, int4-weights, fp16, bf16."


def test_an_unknown_target_lists_the_targets() -> None:
    with pytest.raises(UsageError) as caught:
        method_for("coreml", "int8")
    assert caught.value.hint == "Targets: openvino, onnx, tflite."
