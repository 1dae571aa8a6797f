"""Reads an ONNX file whose weights may lie beside it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def load(path: Path) -> onnx.ModelProto:
    """The whole model.

    Raises:
        onnx.checker.ValidationError: weights are said to lie outside the file's folder, or are missing.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    if not any(tensor.data_location == tensor.EXTERNAL for tensor in model.graph.initializer):
        return onnx.load(path)
    # A job's files are hard links, which ONNX takes for an attack, so they are copied.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for file in path.parent.iterdir():
            if file.is_file():
                shutil.copyfile(file, Path(folder, file.name))
        return onnx.load(Path(folder, path.name))
