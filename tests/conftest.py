"""What all tests share. Artifacts are real and made once per session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import models

# A test that opens a .keras file in this process needs a backend that is installed; jobs set their own.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for artifacts that several tests read."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="session")
def twin_onnx(artifacts: Path) -> Path:
    """Two inputs, two outputs, free batch; see `tests.models`."""
    return models.twin_onnx(artifacts / "twin.onnx", None)


@pytest.fixture(scope="session")
def twin_onnx_fixed(artifacts: Path) -> Path:
    """The same with the batch fixed to 2."""
    return models.twin_onnx(artifacts / "twin-fixed.onnx", 2)


@pytest.fixture(scope="session")
def twin_openvino(artifacts: Path) -> Path:
    return models.twin_openvino(artifacts / "twin.xml", None)


@pytest.fixture(scope="session")
def twin_openvino_fixed(artifacts: Path) -> Path:
    return models.twin_openvino(artifacts / "twin-fixed.xml", 2)


@pytest.fixture(scope="session")
def twin_tflite(artifacts: Path) -> Path:
    return models.twin_tflite(artifacts / "twin.tflite", None)


@pytest.fixture(scope="session")
def twin_tflite_fixed(artifacts: Path) -> Path:
    return models.twin_tflite(artifacts / "twin-fixed.tflite", 2)


@pytest.fixture(scope="session")
def twin_keras(artifacts: Path) -> Path:
    return models.twin_keras(artifacts / "twin.keras", None)


@pytest.fixture(scope="session")
def twin_keras_fixed(artifacts: Path) -> Path:
    return models.twin_keras(artifacts / "twin-fixed.keras", 2)


@pytest.fixture(scope="session")
def dense_onnx(artifacts: Path) -> Path:
    """One int8 layer, free batch; see `tests.models`."""
    return models.dense_onnx(artifacts / "dense.onnx")


@pytest.fixture(scope="session")
def dense_openvino(artifacts: Path) -> Path:
    return models.dense_openvino(artifacts / "dense.xml")


@pytest.fixture(scope="session")
def dense_tflite(artifacts: Path) -> Path:
    """One int8 layer with int8 input and output, batch 1."""
    return models.dense_tflite(artifacts / "dense.tflite")
