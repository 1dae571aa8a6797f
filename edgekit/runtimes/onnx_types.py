"""Number formats of the weights in an ONNX file, read without the onnx package. Part of the device core.

A walk over the protobuf wire format (protobuf.dev/programming-guides/encoding) that steps over everything but the
fields it needs. Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Union

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_TENSOR = 5
_TENSOR_DATA_TYPE = 2

#: TensorProto.DataType, the formats that something is computed in.
_FORMATS = {
    1: "f32", 2: "u8", 3: "i8", 4: "u16", 5: "i16", 10: "f16", 11: "f64", 16: "bf16", 17: "f8", 18: "f8", 19: "f8",
    20: "f8", 21: "u4", 22: "i4", 23: "f4", 25: "u2", 26: "i2",
}  # fmt: skip

Span = tuple[int, int]
Field = tuple[int, Union[int, Span]]


def weight_formats(path: Path) -> frozenset[str]:
    """Formats of all initializers and constants of the main graph, such as ``{"f32", "i8"}``.

    Raises:
        ValueError: the file is no protobuf message.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found: set[str] = set()
        for tensor in _tensors(data, (0, len(data))):
            for number, value in _fields(data, tensor):
                if number == _TENSOR_DATA_TYPE and isinstance(value, int) and value in _FORMATS:
                    found.add(_FORMATS[value])
        return frozenset(found)


def _tensors(data: mmap.mmap, model: Span) -> Iterator[Span]:
    for graph in _children(data, model, _MODEL_GRAPH):
        yield from _children(data, graph, _GRAPH_INITIALIZER)
        for node in _children(data, graph, _GRAPH_NODE):
            for attribute in _children(data, node, _NODE_ATTRIBUTE):
                yield from _children(data, attribute, _ATTRIBUTE_TENSOR)


def _children(data: mmap.mmap, message: Span, wanted: int) -> Iterator[Span]:
    for number, value in _fields(data, message):
        if number == wanted and not isinstance(value, int):
            yield value


def _fields(data: mmap.mmap, message: Span) -> Iterator[Field]:
    """Fields of one message: a number for a varint, a span of the file for the rest."""
    at, end = message
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at, end)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at, end)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        yield number, (at, at + length)
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"the file ends inside a number at byte {at}")
