"""The ways to run a source: what ``--runtime`` names, and that every way computes what the reference computes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import MissingError, UsageError
from edgekit.exporter.loading import Loaded, Loading
from edgekit.exporter.ways import WAYS, SourceRuntime, Way, parse_runtime, ways_to_run
from edgekit.runtimes.base import Arrays
from edgekit.types import TensorSpec

ROOT = Path(__file__).parents[2]

needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="needs torch")


@pytest.mark.parametrize(
    ("text", "backend", "way"),
    [
        ("keras", None, None),
        ("keras:torch", "torch", None),
        ("keras:predict", None, "predict"),
        ("keras:openvino:eager", "openvino", "eager"),
        ("torch:compiled", None, "compiled"),
        ("jax", None, None),
    ],
)
def test_what_a_runtime_says(text: str, backend: str | None, way: str | None) -> None:
    assert parse_runtime(text) == SourceRuntime(text, text.partition(":")[0], backend, way)


def test_an_engine_is_no_framework() -> None:
    assert parse_runtime("openvino") is None


@pytest.mark.parametrize(
    "text", ["keras:jit", "keras:jax:jax", "keras:predict:jax", "torch:predict", "torch:", "jax:cpu"]
)
def test_what_no_framework_has(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_runtime(text)
    assert error.value.code == "unknown-runtime"
    assert f"{text.partition(':')[0]}:" in error.value.hint


def asked(text: str) -> SourceRuntime:
    found = parse_runtime(text)
    assert found is not None
    return found


@needs_torch
def test_all_ways_of_its_own_framework_where_nothing_is_asked() -> None:
    assert ways_to_run("keras", "jax", ()) == tuple(Way("keras:jax", "jax", name) for name in WAYS["keras"])
    assert ways_to_run("torch.nn", "torch", ()) == tuple(Way("torch", "torch", name) for name in WAYS["torch.nn"])


@needs_torch
def test_ways_that_are_asked_for_twice_are_run_once() -> None:
    found = ways_to_run("keras", "jax", [asked("keras:torch:eager"), asked("keras:torch")])
    assert [(way.runtime, way.name) for way in found] == [
        ("keras:torch", "eager"),
        ("keras:torch", "predict"),
        ("keras:torch", "compiled"),
    ]


@pytest.mark.parametrize(
    ("kind", "backend", "text", "code"),
    [
        ("keras", "jax", "torch", "other-framework"),
        pytest.param("torch.export", "torch", "torch:eager", "no-such-way", marks=needs_torch),
        ("keras", "jax", "keras:openvino:compiled", "no-such-way"),
        ("onnx", "none", "keras", "no-framework"),
    ],
)
def test_what_a_source_cannot_be_run_as(kind: str, backend: str, text: str, code: str) -> None:
    with pytest.raises(UsageError) as error:
        ways_to_run(kind, backend, [asked(text)])
    assert error.value.code == code
    assert error.value.received == text


@pytest.mark.skipif(util.find_spec("tensorflow") is not None, reason="it is installed here")
def test_a_backend_that_is_not_installed() -> None:
    with pytest.raises(MissingError) as error:
        ways_to_run("keras", "jax", [asked("keras:tensorflow")])
    assert "tensorflow" in error.value.hint


def inputs_of(loaded: Loaded) -> Arrays:
    rng = np.random.default_rng(3)
    found = {}
    for spec in loaded.signature.inputs:
        shape = [length or 3 for length in spec.shape]
        whole = np.dtype(spec.dtype).kind in "iu"
        found[spec.name] = (rng.integers(0, 2, shape) if whole else rng.standard_normal(shape)).astype(spec.dtype)
    return found


def check(load: Callable[[], Loaded], names: tuple[str, ...]) -> None:
    """Every way gives the outputs of the reference, which vary, and again on other inputs."""
    loaded = load()
    assert sorted(loaded.ways()) == sorted(names)
    inputs = inputs_of(loaded)
    other = {name: array[::-1].copy() for name, array in inputs.items()}
    reference = loaded.open()
    for name in names:
        with load().ways()[name]() as session:
            for given in (inputs, other):
                found, expected = session.run(given), reference.run(given)
                half = session.effective().precision.value in ("bf16", "bf16+f32")
                close(found, expected, name, 0.05 if half else 1e-5)


def close(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], name: str, bound: float) -> None:
    assert list(found) == list(expected), name
    for output, array in expected.items():
        assert np.ptp(array, axis=0).max() > 1e-3, "it varies over samples"
        assert found[output].dtype == array.dtype
        np.testing.assert_allclose(found[output], array, rtol=bound, atol=bound, err_msg=f"{name}, {output}")


def loaded_keras(path: str) -> Loaded:
    from edgekit.exporter.sources.keras_ import load

    return load(Path(path), Loading())


def loaded_torch() -> Loaded:
    from edgekit.exporter.sources.torch_ import from_object
    from tests.exporter import torch_zoo

    return from_object(
        torch_zoo.cnn(), None, Loading(pins={"input": TensorSpec("input", (None, 3, 16, 16), "float32")})
    )


def loaded_program() -> Loaded:
    from edgekit.exporter.sources.torch_ import from_object
    from tests.exporter import torch_zoo

    return from_object(torch_zoo.program(), None, Loading())


def loaded_jax() -> Loaded:
    from edgekit.exporter.sources.jax_ import from_object
    from tests.exporter import jax_zoo

    pins = {"features": TensorSpec("features", (None, 12), "float32")}
    return from_object(jax_zoo.mlp(), None, Loading(pins=pins))


def in_process_of_its_own(load: str, kind: str, backend: str, folder: Path) -> None:
    """`check` what an expression of this module loads: frameworks do not share a process well."""
    names = tuple(way.name for way in ways_to_run(kind, backend, ()))
    code = f"from tests.exporter.test_ways import *; check(lambda: {load}, {names})"
    env = {**os.environ, "KERAS_BACKEND": backend, "TORCHINDUCTOR_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.slow), "openvino"])
def test_every_way_of_keras_computes_the_same(backend: str, twin_keras: Path, tmp_path: Path) -> None:
    in_process_of_its_own(f"loaded_keras({str(twin_keras)!r})", "keras", backend, tmp_path)


@pytest.mark.tensorflow
@pytest.mark.skipif(util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_every_way_of_keras_on_tensorflow_computes_the_same(twin_keras: Path, tmp_path: Path) -> None:
    in_process_of_its_own(f"loaded_keras({str(twin_keras)!r})", "keras", "tensorflow", tmp_path)


def test_a_jax_function_computes_the_same(tmp_path: Path) -> None:
    in_process_of_its_own("loaded_jax()", "jax", "jax", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("load", "kind"), [("loaded_torch()", "torch.nn"), ("loaded_program()", "torch.export")])
def test_every_way_of_torch_computes_the_same(load: str, kind: str, tmp_path: Path) -> None:
    in_process_of_its_own(load, kind, "torch", tmp_path)
