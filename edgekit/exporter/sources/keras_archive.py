"""The ``.keras`` archive: what it says about itself before Keras loads it, and why Keras could not."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import ModelError

_HDF5 = b"\x89HDF"
_ZIP = b"PK\x03\x04"


def read(path: Path) -> tuple[Any, dict[str, Any]]:
    """Configuration and metadata of the archive."""
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
            missing = {"config.json", "metadata.json"} - set(archive.namelist())
            if missing:
                raise ModelError(
                    "not-a-keras-file",
                    f"this zip archive has no {' and no '.join(sorted(missing))}, so it is no Keras model.",
                    received=path.name,
                    hint="Save the model with model.save('model.keras').",
                )
            return json.loads(archive.read("config.json")), json.loads(archive.read("metadata.json"))
    except (zipfile.BadZipFile, ValueError) as err:
        raise ModelError(
            "damaged-keras-file",
            f"the .keras file is damaged: {err}.",
            received=path.name,
            hint="Copy or save it again.",
        ) from err


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object in a configuration."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from _objects(item)


def refuse_code(config: Any) -> None:
    found = list(_objects(config))
    if any(item["class_name"] == "__lambda__" for item in found):
        layers = [item["config"]["name"] for item in found if item["class_name"] == "Lambda"]
        raise ModelError(
            "lambda-layer",
            "the model holds Python code in a Lambda layer, and a model file never runs code here.",
            received=f"layer {', '.join(layers)}" if layers else None,
            hint="Replace the Lambda by a keras.layers or keras.ops call, or name a factory: path/to/file.py:factory.",
        )


def unloadable(config: Any, err: Exception) -> ModelError:
    custom = [item["registered_name"] for item in _objects(config) if _is_custom(item)]
    if custom:
        return ModelError(
            "custom-layer",
            f"the model uses {custom[0]}, a class of your own that is not in the file.",
            received=", ".join(dict.fromkeys(custom)),
            hint="Name a factory in your code that returns the model: path/to/file.py:factory.",
        )
    lines = [line.strip() for line in str(err).splitlines() if line.strip()] or [type(err).__name__]
    return ModelError(
        "unloadable-model",
        f"Keras cannot load the model: {lines[0][:300]}",
        hint="Load it with the Keras version that saved it and save it again.",
    )


def _is_custom(item: dict[str, Any]) -> bool:
    package = str(item.get("module") or "").partition(".")[0]
    return bool(item.get("registered_name")) and package != "keras"
