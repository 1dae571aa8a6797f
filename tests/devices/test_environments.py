"""Private environments of engine builds, made for real from the package index."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices import Device, open_device
from edgekit.devices.environments import find_variant, prepare_variant, runtime_of
from edgekit.errors import MissingError, ModelError, UsageError
from edgekit.kit import Kit
from edgekit.testing.device_suite import DeviceSuite
from tests import models
from tests.devices.running import run_on


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of its own, that the tests of this file share."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    yield folder
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.mark.slow
class TestTfliteRuntime(DeviceSuite):
    """An engine build of its own is a device as any other."""

    runtimes = ("tflite",)

    @pytest.fixture
    def device(self, cache: Path) -> Device:
        prepare_variant("tflite-runtime")
        return open_device("python:variant=tflite-runtime")


def test_builds_are_known_by_distribution_and_version() -> None:
    assert runtime_of("tflite-runtime") == "tflite"
    assert runtime_of("onnxruntime-webgpu") == runtime_of("onnxruntime==1.19") == "onnxruntime"
    for bad in ("torch", "onnxruntime>=1", "", "../x", "onnxruntime==latest"):
        with pytest.raises(UsageError) as caught:
            runtime_of(bad)
        assert "tflite-runtime" in caught.value.hint


@pytest.mark.slow
def test_tflite_runtime_gets_numpy_1_and_a_python_that_it_has_wheels_for(cache: Path) -> None:
    made = prepare_variant("tflite-runtime", again=True)
    packages = {one.name: one for one in made.lock.packages}
    assert made.made
    assert packages["tflite-runtime"].version.startswith("2.14")
    assert packages["numpy"].version.startswith("1.")
    assert all(re.fullmatch("[0-9a-f]{64}", one.sha256) for one in made.lock.packages)
    assert tuple(map(int, made.lock.python.split(".")[:2])) <= (3, 11)
    assert made.lock.version == f"{packages['tflite-runtime'].version} (tflite-runtime)"
    again = prepare_variant("tflite-runtime")
    assert not again.made
    assert again.lock == made.lock
    assert find_variant("tflite-runtime").python == made.python
    assert made.lock.digest[:12] in str(made.python)
    assert json.loads((made.python.parents[2] / "lock.json").read_text())["variant"] == "tflite-runtime"


@pytest.mark.slow
def test_a_real_kit_gives_the_same_numbers_on_tflite_runtime(cache: Path, digits_kit: Path, tmp_path: Path) -> None:
    prepare_variant("tflite-runtime")
    kit = Kit.open(digits_kit)
    inputs, expected = kit.golden()[0]
    for artifact in (one for one in kit.artifacts if one.target == "tflite"):
        path = kit.files(artifact)[0]
        (tmp_path / artifact.precision).mkdir()
        there, ran = run_on("python:variant=tflite-runtime", "tflite", path, inputs, tmp_path / artifact.precision)
        here, _ = run_on("local", "tflite", path, inputs, tmp_path / artifact.precision)
        assert ran.version.endswith("(tflite-runtime)")
        for name, array in here.items():
            assert np.ptp(array) > 0.5, "a constant would prove nothing"
            # Other kernels: float within rounding, int8 within two steps of a probability's 1/256.
            np.testing.assert_allclose(
                there[name], array, atol=1e-5 if artifact.precision == "fp32" else 2 / 256 + 1e-6
            )
            assert np.mean(there[name].argmax(1) == expected[name].argmax(1)) > 0.9


@pytest.mark.slow
def test_an_operator_that_is_too_new_for_it_is_named(cache: Path, tmp_path: Path) -> None:
    prepare_variant("tflite-runtime")
    path = models.relu_tflite(tmp_path / "new.tflite", version=7)
    with pytest.raises(ModelError) as caught:
        run_on("python:variant=tflite-runtime", "tflite", path, {"x": np.ones((1, 4), np.float32)}, tmp_path)
    assert caught.value.code == "operator-too-new"
    assert "RELU version 7" in caught.value.message
    assert "tflite-runtime 2.14" in caught.value.message
    assert "--for tflite-runtime==2.14" in caught.value.hint


@pytest.mark.slow
def test_an_old_release_by_version(cache: Path, twin_onnx: Path, tmp_path: Path) -> None:
    made = prepare_variant("onnxruntime==1.19")
    assert made.lock.version.startswith("1.19")
    inputs = models.twin_inputs(3)
    outputs, ran = run_on("python:variant=onnxruntime==1.19", "onnxruntime", twin_onnx, inputs, tmp_path)
    assert ran.version == made.lock.version
    for name, expected in models.twin_outputs(inputs).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=2e-6)


@pytest.mark.slow
def test_a_version_that_nobody_made_says_what_was_tried(cache: Path) -> None:
    with pytest.raises(MissingError) as caught:
        prepare_variant("onnxruntime==0.0.77")
    assert caught.value.code == "no-python-for-variant"
    assert "No matching distribution" in (caught.value.received or "")
    assert not list((cache / "edgekit" / "environments").glob(".tmp-*")), "nothing half made is left"


@pytest.mark.slow
def test_an_environment_whose_python_is_gone_is_made_again(cache: Path) -> None:
    made = prepare_variant("tflite-runtime")
    kept = made.python.resolve()
    made.python.unlink()
    made.python.symlink_to("/nowhere/python")
    with pytest.raises(MissingError) as caught:
        find_variant("tflite-runtime")
    assert caught.value.code == "not-prepared"
    assert prepare_variant("tflite-runtime").python.resolve() == kept
