"""Reads OpenVINO IR."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.inspection.facts import Graph, precision_of

if TYPE_CHECKING:
    import openvino

#: Element types of weights, as numpy names.
_DTYPES = {
    "f16": "float16", "f32": "float32", "f64": "float64", "bf16": "bfloat16",
    "i4": "int4", "u4": "uint4", "nf4": "int4", "i8": "int8", "u8": "uint8",
}  # fmt: skip

#: Nodes that carry data in and out and compute nothing.
_PLUMBING = {"Parameter", "Result", "Constant"}


def read(path: Path) -> Graph:
    """Describe an ``.xml`` file; its ``.bin`` lies beside it."""
    import openvino

    model = openvino.Core().read_model(path)
    operators = Counter(node.get_type_name() for node in model.get_ops())
    weights = _weights(model)
    head = path.read_bytes()[:4096].decode("utf-8", errors="replace")
    version = re.search(r'<net [^>]*version="(\d+)"', head)
    return Graph(
        parameters=sum(count for dtype, count in weights if dtype not in ("i32", "i64")),
        operators={name: count for name, count in operators.most_common() if name not in _PLUMBING},
        precision=_precision({dtype for dtype, _ in weights}, operators),
        format={"IR": version.group(1)} if version else {},
    )


def _precision(weights: set[str], operators: Mapping[str, int]) -> str | None:
    dtypes = {_DTYPES[dtype] for dtype in weights if dtype in _DTYPES}
    return precision_of(dtypes, quantized_activations="FakeQuantize" in operators)


def _weights(model: openvino.Model) -> list[tuple[str, int]]:
    """Element type and count of every constant that is more than a single number."""
    found = []
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            count = prod(node.get_output_shape(0))
            if count > 1:
                found.append((node.get_output_element_type(0).get_type_name(), count))
    return found
