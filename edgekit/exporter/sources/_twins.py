"""The same model in another arithmetic: in double precision, or with another number of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache, partial
from typing import Any, Protocol

from edgekit.exporter.sources._jax_float64 import evaluate
from edgekit.exporter.sources._jaxpr import trace
from edgekit.exporter.sources.keras_precision import computing_in_float64

Call = Callable[..., tuple[Any, ...]]


class Stateless(Protocol):
    """A Keras model that can be called with its weights, which JAX compiles."""

    def __call__(self, *tensors: Any) -> tuple[Any, ...]: ...

    def stateless(self, trained: Any, fixed: Any, tensors: Any) -> tuple[Any, ...]: ...

    def weights(self) -> tuple[list[Any], list[Any]]: ...


def keras_in_float64(loaded: Stateless) -> Call:
    """A Keras model in double precision, on the JAX, torch and TensorFlow backends."""
    import keras

    def wide(tensors: Sequence[Any]) -> list[Any]:
        floats = (keras.backend.standardize_dtype(tensor.dtype) == "float32" for tensor in tensors)
        return [keras.ops.cast(one, "float64") if yes else one for one, yes in zip(tensors, floats, strict=True)]

    if keras.backend.backend() != "jax":

        def call(*tensors: Any) -> tuple[Any, ...]:
            with computing_in_float64():
                return loaded(*wide(tensors))

        return call
    import jax

    compiled, weights = jax.jit(loaded.stateless), loaded.weights()

    def call_jax(*tensors: Any) -> tuple[Any, ...]:
        with jax.enable_x64(True), computing_in_float64():
            found: tuple[Any, ...] = compiled(*weights, wide(tensors))
            return found

    return call_jax


def jax_in_float64(function: Call) -> Call:
    """A JAX function as it was traced, with every float32 number in double precision."""
    import jax

    def call(*arrays: Any) -> tuple[Any, ...]:
        closed = trace(function, arrays).closed
        with jax.enable_x64(True):
            found: list[Any] = jax.jit(partial(evaluate, closed))(list(arrays))
        return tuple(found)

    return call


def torch_in_float64(model: Any, called: Callable[[Any], Call]) -> Call:
    """A copy of a torch model with every weight in double precision.

    Args:
        model: the module.
        called: how a module is called.
    """
    import torch

    @cache
    def twin() -> Call:  # not before it runs: a session says in plain words what torch refuses
        return called(deepcopy(model).double())

    def call(*tensors: Any) -> tuple[Any, ...]:
        return twin()(*(tensor.double() if tensor.dtype == torch.float32 else tensor for tensor in tensors))

    return call


def one_thread(function: Call) -> Call:
    """A function of torch tensors on one thread."""
    import torch

    def call(*tensors: Any) -> tuple[Any, ...]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return function(*tensors)
        finally:
            torch.set_num_threads(threads)

    return call
