"""The user's own classes and functions for a ``.keras`` file: found by the names it uses, and why some are not."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.errors import EdgekitError, MissingError, ModelError
from edgekit.exporter.sources.keras_archive import custom_layer, objects
from edgekit.exporter.sources.keras_signature import first_line
from edgekit.jobs.code import Code, import_code
from edgekit.registry import install_command

_NOT_FOUND = re.compile(r"Could not locate (?:class|function) '(?P<name>[^']+)'")
_TENSORFLOW = re.compile(r"Layer (?P<layer>\w+) requires TensorFlow")
_UNKNOWN = re.compile(r"Unknown (?:\w+ )?(?:function|object|layer|class)?:? ?'(?P<name>[^']+)'")

#: Modules of Keras in which a saved model looks up plain names such as ``relu``.
_BUILT_IN = ("activations", "constraints", "initializers", "layers", "losses", "metrics", "optimizers", "regularizers")


def custom_objects(files: Sequence[Code], config: Any) -> dict[str, Any]:
    """What the user's files define, by the names under which a file may refer to it.

    Names that Keras has itself are left out unless the file means the user's: a helper called ``softmax`` would take
    the place of the activation in every layer.

    Raises:
        UsageError, ModelError: see `import_code`.
    """
    meant = _meant(config)
    found: dict[str, Any] = {}
    for code in files:
        module = import_code(code)
        found |= {
            name: value
            for name, value in vars(module).items()
            if _own(value, module) and (name in meant or not _is_built_in(name))
        }
    return found


def registered() -> set[str]:
    """Names that importing the user's files has registered with Keras, such as ``package>Layer``."""
    import keras

    return set(keras.saving.get_custom_objects())


def unloadable(err: Exception) -> EdgekitError:
    """Why Keras could not load a model, in one sentence."""
    import keras

    text = str(err)
    missing = _NOT_FOUND.search(text) or _UNKNOWN.search(text)
    if missing:
        return custom_layer({missing["name"].rpartition(">")[2]: ""})
    lookup = _TENSORFLOW.search(text)
    if lookup:
        return MissingError(
            "missing-extra",
            f"the model uses {lookup['layer']}, for which Keras needs tensorflow on every backend.",
            hint=f"Run: {install_command('tensorflow')}, or save the model without this layer.",
        )
    if any(isinstance(cause, NotImplementedError) for cause in _causes(err)):
        return ModelError(
            "not-on-backend",
            f"Keras cannot compute the model on {keras.backend.backend()}: {first_line(err)}",
            hint="Choose another --backend.",
        )
    return ModelError(
        "unloadable-model",
        f"Keras cannot load the model: {first_line(err)}",
        hint="Load it with the Keras version that saved it and save it again; its own classes must be the same.",
    )


def _causes(err: BaseException | None) -> Iterator[BaseException]:
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__


def _meant(config: Any) -> set[str]:
    """Names that the file uses for what is not Keras' own."""
    names = set()
    for item in objects(config):
        if item["class_name"] == "function":
            names.add(str(item.get("config")))
        elif str(item.get("module") or "").partition(".")[0] != "keras":
            names.add(str(item["class_name"]))
    return names


def _own(value: Any, module: ModuleType) -> bool:
    """Whether a name is a class or function of the user's, not one that the file imports from a library."""
    home = getattr(value, "__module__", None)
    if not callable(value) or not isinstance(home, str):
        return False
    place = getattr(sys.modules.get(home), "__file__", None)
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    return home == module.__name__ or (place is not None and not any(Path(place).is_relative_to(p) for p in libraries))


def _is_built_in(name: str) -> bool:
    import keras

    return any(hasattr(getattr(keras, kind), name) for kind in _BUILT_IN)
