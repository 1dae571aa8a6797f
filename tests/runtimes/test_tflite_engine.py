"""Builds of the TFLite interpreter, and what they refuse."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import MissingError, ModelError
from edgekit.registry import Row
from edgekit.runtimes import RUNTIMES, OpenOptions
from edgekit.runtimes.tflite_engine import Engine, engine, refused
from tests import models


def test_litert_comes_first() -> None:
    found = engine()
    assert found.distribution == "ai-edge-litert"
    assert str(found) == metadata.version("ai-edge-litert") == RUNTIMES["tflite"].load()().version()


def test_another_build_says_which_it_is() -> None:
    old = Engine(None, "tflite-runtime", "2.14.0")
    assert str(old) == "2.14.0 (tflite-runtime)"
    assert old.release == "tflite-runtime==2.14"
    assert Engine(None, "tensorflow-cpu", "2.20.0").release == "tensorflow==2.20"


def test_an_operator_that_is_too_new_is_named(tmp_path: Path) -> None:
    runtime = RUNTIMES["tflite"].load()()
    path = models.relu_tflite(tmp_path / "good.tflite", version=1)
    values = np.array([[-1.0, 2.0, -3.0, 4.0]], np.float32)
    with runtime.open(path, OpenOptions()) as session:
        assert session.run({"x": values})["y"].tolist() == [[0.0, 2.0, 0.0, 4.0]]
    path = models.relu_tflite(tmp_path / "new.tflite", version=99)
    for accelerator in ("CPU", "XNNPACK", "GPU"):
        with pytest.raises(ModelError) as caught:
            runtime.open(path, OpenOptions(accelerator=accelerator))
        assert caught.value.code == "operator-too-new"
        assert "RELU version 99" in caught.value.message
        assert caught.value.received == "RELU version 99"


def test_a_custom_operator_is_named() -> None:
    words = "Encountered unresolved custom op: Frobnicate.\nSee instructions: https://…"
    error = refused(Engine(None, "tflite-runtime", "2.14.0"), Path("model.tflite"), ValueError(words))
    assert error.code == "custom-operator"
    assert "Frobnicate" in error.message


def test_one_of_several_packages_is_enough() -> None:
    assert Row("x", "a:b", "tflite", ("nowhere_to_be_found|json",)).missing() == ()
    lacking = Row("x", "a:b", "tflite", ("nowhere_to_be_found|nor_this", "json"))
    assert lacking.missing() == ("nowhere_to_be_found or nor_this",)
    with pytest.raises(MissingError, match="nowhere_to_be_found or nor_this"):
        lacking.require()
