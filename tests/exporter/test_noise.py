"""Twins of a source in other arithmetic, and inputs at the edges."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.exporter.edges import FACTOR, edges, numbers_in
from edgekit.exporter.loading import Loaded, Loading
from edgekit.exporter.noise import Noise, probe, run_source, twin_noise
from edgekit.exporter.sources import jax_, torch_
from edgekit.exporter.sources.engine import load_onnx
from edgekit.types import Signature, TensorSpec
from tests import models

Array = NDArray[Any]
PINS = {"x": TensorSpec("x", (None, 6), "float32")}
NEEDS_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
X = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)


def noise_of(loaded: Loaded, inputs: Mapping[str, Array]) -> Noise:
    with loaded.open() as session:
        return twin_noise(loaded, dict(inputs), run_source(session, inputs))


@NEEDS_TORCH
def test_a_torch_module_is_compared_with_itself_in_double_precision() -> None:
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 40), torch.nn.Tanh(), torch.nn.Linear(40, 3))
    loaded = torch_.from_object(module, None, Loading(pins={"input": TensorSpec("input", (None, 6), "float32")}))
    (found,) = noise_of(loaded, {"input": X}).values()
    first, bias, second, last = (weight.detach().numpy().astype(np.float64) for weight in module.parameters())
    exact = np.tanh(X[:4].astype(np.float64) @ first.T + bias) @ second.T + last
    with loaded.open() as session:
        (got,) = session.run({"input": X[:4]}).values()
    assert set(found) == {"float64", "threads"}
    assert found["float64"] == pytest.approx(np.abs(got - exact.astype(np.float32)).max(), rel=0.5)
    assert 0 < found["float64"] < 1e-5


@NEEDS_TORCH
def test_a_module_that_refuses_double_precision_has_no_such_measure() -> None:
    import torch

    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = [torch.ones(6, 2)]  # no parameter, so that it stays what it is

        def forward(self, x: Any) -> Any:
            return x @ self.weights[0]

    (found,) = noise_of(torch_.from_object(Fixed(), None, Loading(pins=PINS)), {"x": X}).values()
    assert set(found) == {"threads"}


@NEEDS_TORCH
def test_what_is_another_function_in_double_precision_is_no_twin() -> None:
    import torch

    class Looks(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.sum(1, keepdim=True) + (x.dtype == torch.float64)

    (found,) = noise_of(torch_.from_object(Looks(), None, Loading(pins=PINS)), {"x": X}).values()
    assert set(found) == {"threads"}


def test_a_jax_function_is_traced_and_computed_in_double_precision() -> None:
    """Convolutions take no mixture of types, and a loop keeps the type that it was traced with."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    kernel = np.random.default_rng(1).normal(size=(3, 1, 8)).astype(np.float32)

    def function(x: Any) -> Any:
        wide = lax.conv_general_dilated(x[..., None], kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
        steps = jnp.moveaxis(jax.nn.gelu(wide), 1, 0)
        last, _ = lax.scan(lambda carry, step: (jnp.tanh(carry * 0.5 + step), step), jnp.zeros_like(steps[0]), steps)
        return {"state": last, "whole": jnp.asarray(jnp.argmax(last, axis=-1), jnp.int32)}

    found = noise_of(jax_.from_object(function, None, Loading(pins=PINS)), {"x": X})
    assert set(found["state"]) == {"float64"}
    assert 0 < found["state"]["float64"] < 1e-5
    assert found["whole"] == {"float64": 0.0}


def test_an_engine_shows_what_another_number_of_threads_does(twin_onnx: Any) -> None:
    found = noise_of(load_onnx(twin_onnx, Loading()), models.twin_inputs(6))
    assert {name: set(measured) for name, measured in found.items()} == {"score": {"threads"}, "embed": {"threads"}}


def test_one_ulp_and_reactions_are_measured_by_output_and_input(twin_onnx: Any) -> None:
    inputs = models.twin_inputs(6)
    with load_onnx(twin_onnx, Loading()).open() as session:
        noise, reacts = probe(session, inputs, run_source(session, inputs), np.random.default_rng(0))
    assert 0 < noise["score"]["one-ulp"] < 1e-5
    assert noise["embed"] == {"one-ulp": 0.0}  # it depends on integers alone
    assert reacts == {"wide": True, "token": True}


def signature(*dtypes: str) -> Signature:
    return Signature(tuple(TensorSpec(f"in{i}", (None, 3), dtype) for i, dtype in enumerate(dtypes)), ())


def test_edges_are_zeros_one_number_negative_and_large() -> None:
    usual = np.array([[1, -2, 3], [-4, 5, 6], [7, 8, 9]], np.float32)
    found = edges(signature("float32"), {"in0": usual}, {})["in0"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], [0, 0, 0])
    np.testing.assert_array_equal(found[1], [6, 6, 6])
    np.testing.assert_array_equal(found[2:4], -np.abs(usual[:2]))
    np.testing.assert_array_equal(found[4:6], FACTOR * np.abs(usual[:2]))
    np.testing.assert_array_equal(found[6:], FACTOR * usual[:2])


def test_indices_stay_what_they_are_at_the_edges() -> None:
    usual: dict[str, Array] = {
        "in0": X[:5, :3],
        "in1": np.arange(15).reshape(5, 3),
        "in2": np.full((5, 3), 2, np.float32),
    }
    found = edges(signature("float32", "int64", "float32"), usual, {"in2": 4})
    assert {len(array) for array in found.values()} == {8}
    assert set(map(tuple, found["in1"])) <= set(map(tuple, usual["in1"][:2]))
    assert (found["in2"] == 2).all()
    assert edges(signature("int64"), {"in0": np.arange(15).reshape(5, 3)}, {}) == {}


def test_samples_without_numbers_are_known() -> None:
    outputs = {"a": np.array([[1.0], [np.nan], [3.0]]), "b": np.array([1.0, 2.0, np.inf])}
    assert numbers_in(outputs).tolist() == [True, False, False]
