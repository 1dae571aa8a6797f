"""Code that the user named: imported from where it lies, run in an isolated process, never sent.

A factory is a function without arguments that returns a model. Beside it, ``example_inputs`` may say what goes in:
a dictionary of arrays or tensors by input name, a tuple or list of them in order, or a function that returns one.
``<factory>_example_inputs`` goes first, for a file with several factories.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.loading import CALLED_FROM, CODE_PATH, Code, FromObject, Loaded, Loading
from edgekit.exporter.sources.registry import SOURCES
from edgekit.jobs.protocol import blob_of

_modules: dict[Code, ModuleType] = {}


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
    module = import_code(loading.factory)
    name = loading.factory.name.partition(":")[2]
    factory = getattr(module, name, None)
    if not callable(factory):
        names = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise UsageError(
            "no-such-factory",
            f"{loading.factory.name.partition(':')[0]} has no function {name!r}.",
            received=loading.factory.name,
            hint=f"It has: {', '.join(names[:12]) or 'no functions'}.",
        )
    _prepare_keras()
    with _called_from(), _users_code(loading.factory):
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
        with _called_from(), _users_code(loading.factory):
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


def import_code(code: Code) -> ModuleType:
    """The module of code that the user named, imported once per process.

    Raises:
        UsageError: it is not there, or is not what was named.
        ModelError: it raised.
    """
    if code not in _modules:
        place = code.name.partition(":")[0]
        with _called_from(), _users_code(code):
            _modules[code] = _import_file(code, place) if place.endswith(".py") else _import_module(code, place)
    return _modules[code]


def _import_file(code: Code, name: str) -> ModuleType:
    for folder in os.environ.get(CODE_PATH, "").split(os.pathsep):
        path = Path(folder) / name
        if path.is_file() and blob_of(path).sha256 == code.sha256:
            _look_in(folder)
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module  # pickling, dataclasses and typing look there
            spec.loader.exec_module(module)
            return module
    raise _changed(code)


def _import_module(code: Code, name: str) -> ModuleType:
    _look_in(os.environ.get(CALLED_FROM, "."))
    module = importlib.import_module(name)
    if module.__file__ is None or blob_of(Path(module.__file__)).sha256 != code.sha256:
        raise _changed(code)
    return module


def _look_in(folder: str) -> None:
    """Find the neighbours of a file as Python does when it is run."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _changed(code: Code) -> UsageError:
    return UsageError(
        "code-changed", f"{code.name} is gone, or has changed since the command began.", hint="Run the command again."
    )


@contextmanager
def _called_from() -> Iterator[None]:
    """The user's folder as the working directory, for code that opens files."""
    before = Path.cwd()
    os.chdir(os.environ.get(CALLED_FROM, "."))
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _users_code(code: Code) -> Iterator[None]:
    """Say whose error it was.

    Raises:
        ModelError: with the error and its place in the user's file.
    """
    try:
        yield
    except (UsageError, ModelError):
        raise
    except Exception as err:  # the user's code raises whatever it likes
        text = str(err).strip().splitlines() or [""]
        raise ModelError(
            "code-raised",
            f"{code.name} raised {type(err).__name__}: {text[0][:300]}".rstrip(": ") + _place(err),
            hint="Run it alone first: python -c 'import …'; --debug shows the traceback.",
        ) from err


def _place(err: Exception) -> str:
    trace, line = err.__traceback__, ""
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if "site-packages" not in path.parts and path.parent != Path(__file__).parent and path.is_file():
            line = f" ({path.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return line


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
