"""Small ONNX files for tests, written node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto


def write_onnx(
    path: Path,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Any],
    x: Sequence[str | int],
    y: Sequence[str | int] | None = None,
    element: int = 1,
) -> Path:
    """A checked file that takes ``x`` and gives ``y``, in float32.

    Args:
        path: of the file.
        nodes: what it computes.
        constants: stored tensors by name; a float is held in float32.
        x: shape of the input.
        y: shape of the output; None for that of the input.
        element: element type of the input.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    arrays = {name: np.array(value) for name, value in constants.items()}
    held = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}
    graph = helper.make_graph(
        list(nodes),
        path.stem,
        [helper.make_tensor_value_info("x", element, list(x))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(x if y is None else y))],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    checker.check_model(model)
    save(model, path)
    return path
