"""Every runtime runs the same suite."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edgekit.runtimes import RUNTIMES
from tests.conformance.runtime_suite import RuntimeSuite

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


class TestOnnxRuntime(RuntimeSuite):
    name = "onnxruntime"
    suffix = ".onnx"

    @pytest.fixture
    def free(self, twin_onnx: Path) -> Path:
        return twin_onnx

    @pytest.fixture
    def fixed(self, twin_onnx_fixed: Path) -> Path:
        return twin_onnx_fixed


class TestOpenVino(RuntimeSuite):
    name = "openvino"
    suffix = ".xml"

    @pytest.fixture
    def free(self, twin_openvino: Path) -> Path:
        return twin_openvino

    @pytest.fixture
    def fixed(self, twin_openvino_fixed: Path) -> Path:
        return twin_openvino_fixed


class TestTflite(RuntimeSuite):
    name = "tflite"
    suffix = ".tflite"

    @pytest.fixture
    def free(self, twin_tflite: Path) -> Path:
        return twin_tflite

    @pytest.fixture
    def fixed(self, twin_tflite_fixed: Path) -> Path:
        return twin_tflite_fixed


class TestKeras(RuntimeSuite):
    name = "keras"
    suffix = ".keras"
    takes_options = False
    binds = False

    @pytest.fixture
    def free(self, twin_keras: Path) -> Path:
        return twin_keras

    @pytest.fixture
    def fixed(self, twin_keras_fixed: Path) -> Path:
        return twin_keras_fixed


def test_every_runtime_has_a_row_an_extra_and_a_conformance_class() -> None:
    classes = {suite.name for suite in RuntimeSuite.__subclasses__()}
    assert classes == set(RUNTIMES.rows())
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert {row.extra for row in RUNTIMES} <= set(extras)
