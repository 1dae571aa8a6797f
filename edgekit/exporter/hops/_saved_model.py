"""A SavedModel is a folder, but hops hand files on: it travels as one zip archive, not compressed."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.types import Signature

#: Name of the archive between two hops.
ARCHIVE = "model.saved_model.zip"

#: The signature key that serving and interpreters look for first.
SIGNATURE_KEY = "serving_default"


def pack(folder: Path, archive: Path) -> None:
    """Write every file of a folder into one archive, by its path inside the folder."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder))


def write(function: Any, signature: Signature, archive: Path) -> None:
    """Write a SavedModel with one signature as an archive.

    Args:
        function: a concrete function of flat tensors without variables, in the signature's order.
        signature: names of inputs and outputs; free dimensions stay free.
        archive: where to.

    Raises:
        ValueError: TensorFlow does not take the name of an input, such as one with a space.
    """
    import tensorflow as tf

    def serve(*tensors: Any) -> dict[str, Any]:
        return {spec.name: output for spec, output in zip(signature.outputs, function(*tensors), strict=True)}

    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in signature.inputs]
    module = tf.Module()
    module.serve = tf.function(serve, input_signature=specs, autograph=False)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE_KEY: module.serve.get_concrete_function()})
        pack(Path(folder), archive)


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A folder with the content of an archive, beside it and for as long as the block runs.

    Nothing lands outside the folder: `zipfile` drops leading slashes and ``..``, and makes no links.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        yield Path(folder)
