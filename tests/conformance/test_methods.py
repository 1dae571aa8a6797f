"""The built-in quantization methods. Floors are some 4 dB below what was measured, so that a worse setting shows."""

from __future__ import annotations

from edgekit.quantizer.registry import METHODS
from tests.conformance.method_suite import MethodSuite
from tests.conformance.method_suite import bench as bench


class TestOpenVinoInt8(MethodSuite):
    method, floor_db, least_ops, smaller = "openvino:int8", 36, 5, 0.5


class TestOpenVinoInt8Weights(MethodSuite):
    method, floor_db, least_ops, smaller = "openvino:int8-weights", 40, 5, 0.5


class TestOpenVinoInt4Weights(MethodSuite):
    method, floor_db, least_ops, smaller = "openvino:int4-weights", 30, 1, 0.4


class TestOpenVinoFloat16(MethodSuite):
    method, floor_db, least_ops, smaller = "openvino:fp16", 60, 5, 0.65


class TestOpenVinoBfloat16(MethodSuite):
    method, floor_db, least_ops, smaller = "openvino:bf16", 44, 5, 0.65


class TestOnnxInt8(MethodSuite):
    method, floor_db, least_ops, smaller = "onnx:int8", 36, 5, 0.4


class TestOnnxInt8Dynamic(MethodSuite):
    method, floor_db, least_ops, smaller = "onnx:int8-dynamic", 38, 2, 0.5
    batch_atol = 0.1  # one range for the whole batch


class TestOnnxInt8Weights(MethodSuite):
    method, floor_db, least_ops, smaller = "onnx:int8-weights", 42, 2, 0.5


class TestOnnxInt4Weights(MethodSuite):
    method, floor_db, least_ops, smaller = "onnx:int4-weights", 30, 1, 0.4


class TestOnnxFloat16(MethodSuite):
    method, floor_db, least_ops, smaller = "onnx:fp16", 60, 5, 0.6


class TestOnnxBfloat16(MethodSuite):
    method, floor_db, least_ops, smaller = "onnx:bf16", 44, 5, 0.6


class TestTfliteInt8(MethodSuite):
    method, floor_db, least_ops, smaller = "tflite:int8", 36, 5, 0.4


class TestTfliteInt8Dynamic(MethodSuite):
    method, floor_db, least_ops, smaller = "tflite:int8-dynamic", 38, 5, 0.4


class TestTfliteInt8Weights(MethodSuite):
    method, floor_db, least_ops, smaller = "tflite:int8-weights", 39, 5, 0.4


class TestTfliteInt4Weights(MethodSuite):
    method, floor_db, least_ops, smaller = "tflite:int4-weights", 19, 2, 0.3


class TestTfliteFloat16(MethodSuite):
    method, floor_db, least_ops, smaller = "tflite:fp16", 60, 5, 0.65


def test_every_method_has_a_class_and_every_class_a_method() -> None:
    assert {suite.method for suite in MethodSuite.__subclasses__()} == {row.name for row in METHODS}


def test_the_name_of_a_row_says_what_it_makes() -> None:
    for row in METHODS:
        assert row.name == f"{row.format}:{row.precision}"
        assert row.target.partition(":")[0].startswith(f"edgekit.quantizer.methods.{row.format}_")
