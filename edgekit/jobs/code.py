"""Code that the user named: found here without running it, imported in a job from where it lies, never sent."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.errors import MissingError, ModelError, UsageError
from edgekit.jobs.protocol import blob_of
from edgekit.registry import install_command

#: Folders, joined by the path separator, in which a worker looks for code that the user named.
CODE_PATH = "EDGEKIT_CODE_PATH"

#: The folder the user called from: code opens its files relative to it.
CALLED_FROM = "EDGEKIT_CALLED_FROM"

#: Packages that users' code may import, each with the extra that brings it.
_EXTRAS = {
    "torch": "torch", "jax": "jax", "tensorflow": "tensorflow", "keras": "keras", "polars": "data", "PIL": "data",
}  # fmt: skip

_NAMED = re.compile(r"(?P<place>.+\.py|[A-Za-z_][\w.]*):(?P<function>[A-Za-z_]\w*)\Z")
_IMPORTS = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Code:
    """Python code that the user named; it is never sent.

    Attributes:
        name: ``file.py``, ``file.py:function`` or ``package.module:function``.
        sha256: of the file, so that a worker runs what was named and nothing else.
    """

    name: str
    sha256: str


_modules: dict[Code, ModuleType] = {}


def find_code(name: str, error: type[UsageError] = ModelError) -> tuple[Code, Path] | None:
    """The code that ``file.py:function`` or ``package.module:function`` names, and its file; nothing is imported.

    Returns:
        None when the name has neither form, or is the name of a file.

    Raises:
        UsageError: there is no such file or module; of the class ``error``.
    """
    named = _NAMED.match(name)
    if named is None or Path(name).exists():
        return None
    place = named["place"]
    path = _file_of(place, error)
    return Code(f"{path.name if place.endswith('.py') else place}:{named['function']}", blob_of(path).sha256), path


def code_environment(files: Sequence[Path]) -> dict[str, str]:
    """Variables by which a worker finds these files, and the folder the user called from."""
    folders = dict.fromkeys(str(file.resolve().parent) for file in files)
    return {CODE_PATH: os.pathsep.join(folders), CALLED_FROM: os.getcwd()}


def imported_by(path: Path) -> set[str]:
    """Top-level packages that a Python file imports, as far as its text tells."""
    return set(_IMPORTS.findall(path.read_text(errors="replace")))


def import_code(code: Code, error: type[UsageError] = ModelError) -> ModuleType:
    """The module of code that the user named, imported once per process.

    Raises:
        UsageError: it is not there, or is not what was named; of the class ``error`` where it raised.
    """
    if code not in _modules:
        place = code.name.partition(":")[0]
        with users_code(code, error):
            _modules[code] = _import_file(code, place) if place.endswith(".py") else _import_module(code, place)
    return _modules[code]


def function_of(code: Code, error: type[UsageError] = ModelError) -> Callable[..., Any]:
    """The function that the user named. Call it within `users_code`.

    Raises:
        UsageError: see `import_code`; or the module has no such function.
    """
    module = import_code(code, error)
    place, _, name = code.name.partition(":")
    function = getattr(module, name, None)
    if callable(function):
        found: Callable[..., Any] = function
        return found
    names = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
    raise UsageError(
        "no-such-factory",
        f"{place} has no function {name!r}.",
        received=code.name,
        hint=f"It has: {', '.join(names[:12]) or 'no functions'}.",
    )


@contextmanager
def users_code(code: Code, error: type[UsageError] = ModelError) -> Iterator[None]:
    """Run the user's code in the folder the user called from, and say whose error it was.

    Raises:
        UsageError: of the class ``error``, with what was raised and its place in the user's file.
        MissingError: it imports a framework that is not installed.
    """
    before = Path.cwd()
    os.chdir(os.environ.get(CALLED_FROM, "."))
    try:
        yield
    except UsageError:
        raise
    except ModuleNotFoundError as err:
        if err.name not in _EXTRAS:
            raise _raised(code, err, error) from err
        raise MissingError(
            "missing-extra",
            f"{code.name} imports {err.name}, which this environment does not have.",
            hint=f"Run: {install_command(_EXTRAS[err.name])}",
        ) from err
    except Exception as err:  # the user's code raises whatever it likes
        raise _raised(code, err, error) from err
    finally:
        os.chdir(before)


def _raised(code: Code, err: Exception, error: type[UsageError]) -> UsageError:
    text = str(err).strip().splitlines() or [""]
    return error(
        "code-raised",
        f"{code.name} raised {type(err).__name__}: {text[0][:300]}".rstrip(": ") + _place(err),
        hint="Run it alone first: python -c 'import …'; --debug shows the traceback.",
    )


def _file_of(place: str, error: type[UsageError]) -> Path:
    """The file of ``path/to/file.py`` or ``package.module``."""
    if place.endswith(".py"):
        if Path(place).is_file():
            return Path(place)
        raise error(
            "no-model-file" if error is ModelError else "no-code-file",
            "there is no such Python file.",
            received=place,
            hint="Give path/to/file.py:function.",
        )
    search: Sequence[str] | None = None
    origin: str | None = None
    for depth in range(1, place.count(".") + 2):
        name = ".".join(place.split(".")[:depth])
        spec = PathFinder.find_spec(name, search) if search else _top_level(name)
        origin, search = (None, None) if spec is None else (spec.origin, spec.submodule_search_locations)
        if spec is None:
            break
    if origin is None or not Path(origin).is_file():
        raise error(
            "no-model-file" if error is ModelError else "no-code-file",
            f"there is no module {place} in this folder, nor installed.",
            received=place,
            hint="Give package.module:function, or path/to/file.py:function.",
        )
    return Path(origin)


def _top_level(name: str) -> ModuleSpec | None:
    return PathFinder.find_spec(name, [os.getcwd()]) or PathFinder.find_spec(name)


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


def _place(err: Exception) -> str:
    """The last line of the user's code that an exception went through."""
    ours = Path(__file__).resolve().parents[1]
    trace, line = err.__traceback__, ""
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if "site-packages" not in path.parts and ours not in path.parents and path.is_file():
            line = f" ({path.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return line
