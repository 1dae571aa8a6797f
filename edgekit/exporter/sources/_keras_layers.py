"""What the layers of a Keras model compute, on any backend, by the names that they have in artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from edgekit.exporter.sources._recording import Recorder


@contextmanager
def recorded(layers: Sequence[Any], recorder: Recorder) -> Iterator[None]:
    """Record every call of some layers; the model has to run outside of a compiled function."""
    unwatched = [(layer, layer.call) for layer in layers]
    try:
        for layer, call in unwatched:
            _set(layer, _watched(layer, call, recorder))
        yield
    finally:
        for layer, _ in unwatched:
            object.__delattr__(layer, "call")


def _watched(layer: Any, call: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    import keras

    path = str(getattr(layer, "path", None) or layer.name)
    kind = type(layer).__name__

    @wraps(call)
    def watched(*args: Any, **kwargs: Any) -> Any:
        made = call(*args, **kwargs)
        tensors = [leaf for leaf in keras.tree.flatten(made) if keras.ops.is_tensor(leaf) and not _is_traced(leaf)]
        recorder(path, kind, (keras.ops.convert_to_numpy(tensor) for tensor in tensors))
        return made

    return watched


def _is_traced(tensor: Any) -> bool:
    """Whether it stands for a value inside a loop that JAX compiles, such as the cell of a recurrent layer."""
    import keras

    if keras.backend.backend() != "jax":
        return False
    import jax

    return isinstance(tensor, jax.core.Tracer)


def _set(layer: Any, call: Callable[..., Any]) -> None:
    """Past Keras, which looks at every attribute that is set."""
    object.__setattr__(layer, "call", call)
