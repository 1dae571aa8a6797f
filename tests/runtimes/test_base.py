"""Wording and rules that all adapters share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgekit.errors import ModelError
from edgekit.runtimes import runtime_for
from edgekit.runtimes.base import engine_words, make_signature, precision_of
from edgekit.types import TensorSpec


@pytest.mark.parametrize(
    ("types", "value"),
    [
        (["f32"], "f32"),
        (["f32", "u8", "i32"], "i8+f32"),
        (["i8", "u8"], "i8"),
        (["f32", "bf16"], "bf16+f32"),
        (["i64", "i32", "boolean"], None),
        (["u4", "f16", "f32", "i64"], "i4+f16+f32"),
        ([], None),
    ],
)
def test_precision_is_named_by_its_formats(types: Sequence[str], value: str | None) -> None:
    assert precision_of(types) == value


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from /tmp/a/m.onnx failed",
            "Load model from m.onnx failed",
        ),
        ("Exception from src/core.cpp:84:\nException from src/reader.cpp:1:\nUnable to read\n", "Unable to read"),
        ("", "RuntimeError"),
    ],
)
def test_an_engine_is_quoted_by_its_first_line_that_says_something(message: str, words: str) -> None:
    assert engine_words(RuntimeError(message), Path("/tmp/a/m.onnx")) == words


def test_outputs_of_the_same_name_are_refused() -> None:
    twice = TensorSpec("y", (1,), "float32")
    with pytest.raises(ModelError) as caught:
        make_signature([TensorSpec("x", (1,), "float32")], [twice, twice], Path("m.xml"))
    assert caught.value.code == "duplicate-names"


def test_each_target_has_a_runtime() -> None:
    assert {target: runtime_for(target).name for target in ("onnx", "openvino", "tflite")} == {
        "onnx": "onnxruntime",
        "openvino": "openvino",
        "tflite": "tflite",
    }
