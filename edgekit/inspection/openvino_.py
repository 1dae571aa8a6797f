"""Reads OpenVINO IR."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.inspection.facts import Facts, precision_of
from edgekit.types import Signature, TensorSpec

if TYPE_CHECKING:
    import openvino

#: Element types as OpenVINO spells them.
_DTYPES = {
    "f16": "float16", "f32": "float32", "f64": "float64", "bf16": "bfloat16", "boolean": "bool",
    "i4": "int4", "u4": "uint4", "i8": "int8", "u8": "uint8", "i16": "int16", "u16": "uint16",
    "i32": "int32", "u32": "uint32", "i64": "int64", "u64": "uint64", "nf4": "int4",
}  # fmt: skip

#: Nodes that carry data in and out and compute nothing.
_PLUMBING = {"Parameter", "Result", "Constant"}


def read(path: Path) -> Facts:
    """Describe an ``.xml`` file; its ``.bin`` lies beside it."""
    import openvino

    model = openvino.Core().read_model(path)
    operators = Counter(node.get_type_name() for node in model.get_ops())
    weights = _weights(model)
    head = path.read_bytes()[:4096].decode("utf-8", errors="replace")
    version = re.search(r'<net [^>]*version="(\d+)"', head)
    return Facts(
        signature=Signature(
            tuple(_spec(port, port.get_node().get_friendly_name()) for port in model.inputs),
            tuple(_spec(port, f"output_{index}") for index, port in enumerate(model.outputs)),
        ),
        parameters=sum(count for dtype, count in weights if dtype not in ("int32", "int64")),
        operators={name: count for name, count in operators.most_common() if name not in _PLUMBING},
        precision=precision_of({dtype for dtype, _ in weights}, quantized_activations="FakeQuantize" in operators),
        format={"IR": version.group(1)} if version else {},
        engine=f"openvino {openvino.__version__}",
        quantization={},
        signature_key=None,
        notes=(),
    )


def _spec(port: Any, unnamed: str) -> TensorSpec:
    names = port.get_names()
    shape = port.get_partial_shape()
    lengths = tuple(length.get_length() if length.is_static else None for length in shape) if shape.rank.is_static else ()
    return TensorSpec(port.get_any_name() if names else unnamed, lengths, _dtype(port))


def _weights(model: openvino.Model) -> list[tuple[str, int]]:
    """Element type and count of every constant that is more than a single number."""
    found = []
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            count = 1
            for length in node.get_output_shape(0):
                count *= length
            if count > 1:
                found.append((_dtype(node.output(0)), count))
    return found


def _dtype(port: Any) -> str:
    name = port.get_element_type().get_type_name()
    return _DTYPES.get(name, name)
