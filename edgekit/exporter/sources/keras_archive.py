"""The ``.keras`` archive: what it says about itself before Keras loads it, and what Keras must not do with it."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from importlib import util
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.errors import MissingError, ModelError

_HDF5 = b"\x89HDF"
_ZIP = b"PK\x03\x04"

#: Packages whose classes a file may name; modules of any other are never imported because a file says so.
PACKAGES = ("keras", "keras_hub", "keras_cv", "keras_nlp")

#: Layers whose saved form holds code or points at some, besides ``Lambda``, and what that is.
_CODE_HOLDERS = {
    "TorchModuleWrapper": "a pickled torch module",
    "TFSMLayer": "a path to a TensorFlow graph",
    "JaxLayer": "a function",
    "FlaxLayer": "a Flax module",
}


def read(path: Path) -> tuple[Any, dict[str, Any]]:
    """Configuration and metadata of the archive.

    Raises:
        ModelError: it is another kind of file, is damaged, or would write outside its folder.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
    if head == _HDF5:
        raise ModelError(
            "legacy-keras-file",
            "this is an HDF5 file of an older Keras, not a .keras archive.",
            received=path.name,
            hint="Load it where it was made and save it again: model.save('model.keras').",
        )
    if not zipfile.is_zipfile(path):
        what = "the .keras file is cut off" if head == _ZIP else "this is not a .keras file, which is a zip archive"
        raise ModelError(
            "not-a-keras-file", f"{what}.", received=path.name, hint="Save it again: model.save('model.keras')."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.name)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as err:
        raise ModelError(
            "damaged-keras-file",
            f"the .keras file is damaged: {str(err).rstrip('.') or type(err).__name__}.",
            received=path.name,
            hint="Copy or save it again.",
        ) from err


def _read(archive: zipfile.ZipFile, name: str) -> tuple[Any, dict[str, Any]]:
    members = archive.namelist()
    missing = {"config.json", "metadata.json"} - set(members)
    if missing:
        raise ModelError(
            "not-a-keras-file",
            f"this zip archive has no {' and no '.join(sorted(missing))}, so it is no Keras model.",
            received=name,
            hint="Save the model with model.save('model.keras').",
        )
    escaping = [member for member in members if _escapes(member)]
    if escaping:
        raise ModelError(
            "unsafe-archive",
            "the archive names a file outside its own folder, which no Keras model does.",
            received=escaping[0],
            hint="Do not use this file; save the model again where it was made.",
        )
    damaged = archive.testzip()  # the checksum of every member, so that cut or altered weights are named as such
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} does not have its checksum")
    config, metadata = json.loads(archive.read("config.json")), json.loads(archive.read("metadata.json"))
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise ValueError("its configuration is no JSON object")
    config.pop("compile_config", None)  # losses and optimizers are never loaded, so they may be anyone's
    return config, metadata


def _escapes(member: str) -> bool:
    path = PurePosixPath(member.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0] if path.parts else True


def objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object in a configuration."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from objects(item)


def refuse_code(config: Any) -> None:
    """Refuse a model that holds Python code.

    Raises:
        ModelError: names the layers.
    """
    found = list(objects(config))
    if any(item["class_name"] == "__lambda__" for item in found):
        layers = [_name(item) for item in found if item["class_name"] == "Lambda"]
        raise ModelError(
            "lambda-layer",
            "the model holds Python code in a Lambda layer, and a model file never runs code here unless you trust it.",
            received=f"layer {', '.join(layers)}" if layers else None,
            hint="Give --trust-code if you know who made the file, or replace the Lambda by a layer or keras.ops call.",
        )
    for item in found:
        if item["class_name"] in _CODE_HOLDERS and _package(item) in (*PACKAGES, ""):
            raise ModelError(
                "code-in-model",
                f"the model holds {_CODE_HOLDERS[item['class_name']]} in a {item['class_name']}, and a model file "
                "never runs code here unless you trust it.",
                received=f"layer {_name(item)}",
                hint="Give --trust-code if you know who made the file, or name a factory: path/to/file.py:factory.",
            )


def refuse_strings(config: Any) -> None:
    """Refuse a model that takes or looks up strings: no target computes with them.

    Raises:
        ModelError: names the layer.
    """
    for item in objects(config):
        inner = item.get("config")
        text_input = item["class_name"] == "InputLayer" and isinstance(inner, dict) and inner.get("dtype") == "string"
        if item["class_name"] in ("StringLookup", "TextVectorization") or text_input:
            raise ModelError(
                "string-input",
                "the model computes with strings, which no target can.",
                received=f"{item['class_name']} {_name(item)}",
                hint="Save the model without this layer and look the strings up before it, or name the part that takes "
                "numbers: --submodel NAME",
            )


def refuse_foreign(config: Any, known: set[str]) -> None:
    """Refuse a model that needs classes of modules which nobody named; Keras before 3.12 would import them.

    Args:
        config: of the archive.
        known: names of the classes and functions that the user's files define.

    Raises:
        ModelError: names the class and how to give it.
        MissingError: it needs a package of Keras models that is not installed.
    """
    custom: dict[str, str] = {}
    for item in objects(config):
        package, name = _package(item), _registered(item)
        if package in ("", "builtins", "keras") or name in known or item["class_name"] in known:
            continue
        if package in PACKAGES:
            _require(package, item)
            continue
        custom.setdefault(str(item["class_name"]), str(item["module"]))
    if custom:
        raise custom_layer(custom)


def custom_layer(custom: dict[str, str]) -> ModelError:
    """The refusal of classes of the user's own, by name, with the modules they were saved from."""
    name, module = next(iter(custom.items()))
    where = f" (it was saved from the module {module})" if module not in ("", "__main__") else ""
    return ModelError(
        "custom-layer",
        f"the model uses {name}, which is of your own code and not in the file{where}.",
        received=", ".join(custom),
        hint=f"Name the file that defines it: --custom-objects {_file_of(module)}",
    )


def _file_of(module: str) -> str:
    return "layers.py" if module in ("", "__main__") else f"{module.replace('.', '/')}.py"


def _require(package: str, item: dict[str, Any]) -> None:
    if util.find_spec(package) is None:
        raise MissingError(
            "missing-package",
            f"the model uses {item['class_name']} of {package}, which this environment does not have.",
            hint=f"Run: pip install {package.replace('_', '-')}",
        )


def _package(item: dict[str, Any]) -> str:
    return str(item.get("module") or "").partition(".")[0]


def _registered(item: dict[str, Any]) -> str:
    return str(item.get("registered_name") or item["class_name"])


def _name(item: dict[str, Any]) -> str:
    inner = item.get("config")
    return str(item.get("name") or (inner.get("name") if isinstance(inner, dict) else "") or item["class_name"])
