"""Code that the user named: imported from where it lies, run in an isolated process, never sent.

A factory is a function without arguments that returns a model. Beside it, ``example_inputs`` may say what goes in:
a dictionary of arrays or tensors by input name, a tuple or list of them in order, or a function that returns one.
``<factory>_example_inputs`` goes first, for a file with several factories.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import ModelError
from edgekit.exporter.loading import FromObject, Loaded, Loading
from edgekit.exporter.sources.registry import SOURCES
from edgekit.jobs.code import function_of, import_code, users_code


def load(path: Path | None, loading: Loading) -> Loaded:
    """Call the factory of ``loading`` and load what it returns, whatever framework that is of.

    Raises:
        UsageError: no such code, or it changed since it was named.
        ModelError: the factory raised, or returned no model.
    """
    made = call_factory(loading)
    kind = _kind_of(made)
    if kind is None:
        raise ModelError(
            "not-a-model",
            "the factory returns neither a keras.Model, a torch.nn.Module nor a JAX function.",
            received=type(made).__name__,
            hint="Return the model itself; sizes go into example_inputs beside the factory, or --input.",
        )
    module, _, _ = SOURCES[kind].target.partition(":")
    from_object: FromObject = importlib.import_module(module).from_object
    return from_object(made, path, loading)


def call_factory(loading: Loading) -> Any:
    """What the factory returns.

    Raises:
        UsageError: no such code, or it changed since it was named.
        ModelError: the code raised.
    """
    assert loading.factory is not None
    factory = function_of(loading.factory)
    _prepare_keras()
    with users_code(loading.factory):
        return factory()


def example_inputs(loading: Loading) -> Mapping[str, Any] | Sequence[Any] | None:
    """What stands beside the factory; None where nothing does.

    Raises:
        ModelError: it is neither a dictionary nor a tuple or list, or its function raised.
    """
    if loading.factory is None:
        return None
    module = import_code(loading.factory)
    factory = loading.factory.name.partition(":")[2]
    found = getattr(module, f"{factory}_example_inputs", getattr(module, "example_inputs", None))
    if callable(found):
        with users_code(loading.factory):
            found = found()
    if found is None or isinstance(found, (Mapping, tuple, list)):
        return found
    if hasattr(found, "shape"):
        return (found,)
    raise ModelError(
        "bad-example-inputs",
        "example_inputs is a dictionary of arrays by input name, or a tuple of arrays.",
        received=type(found).__name__,
        hint="Example: example_inputs = {'image': numpy.zeros((1, 3, 32, 32), 'float32')}",
    )


def _prepare_keras() -> None:
    """Layers made now compute in float32, and get the same names as in a fresh process."""
    if "keras" in sys.modules:
        import keras

        from edgekit.exporter.sources.keras_precision import compute_in_float32

        compute_in_float32()
        keras.utils.clear_session(free_memory=False)


def _kind_of(made: Any) -> str | None:
    """The kind of source that an object is, by the names of its classes: nothing is imported to find out."""
    classes = [f"{kind.__module__}.{kind.__name__}" for kind in type(made).__mro__]

    def derived(package: str, name: str) -> bool:
        return any(full.partition(".")[0] == package and full.endswith(f".{name}") for full in classes)

    if derived("keras", "Model"):
        return "keras"
    if derived("torch", "ExportedProgram"):
        return "torch.export"
    if derived("torch", "Module"):
        return "torch.nn"
    if derived("jax", "Exported"):
        return "jax.export"
    return "jax" if isinstance(made, Callable) else None  # type: ignore[arg-type]  # an abstract class, as meant
