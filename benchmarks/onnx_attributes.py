"""Attributes of the nodes of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import helper


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """Its value; None where the node has none."""
    found = next((one for one in node.attribute if one.name == name), None)
    return None if found is None else helper.get_attribute_value(found)


def drop(node: onnx.NodeProto, name: str) -> None:
    """Take an attribute away."""
    kept = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def put(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Give an attribute a value."""
    drop(node, name)
    node.attribute.append(helper.make_attribute(name, value))


def tensors_inside(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """Tensors stored within a node: its own value, and those of its bodies."""
    for held in node.attribute:
        if held.HasField("t"):
            yield held.t
        for body in (held.g, *held.graphs):
            yield from body.initializer
            for inner in body.node:
                yield from tensors_inside(inner)
