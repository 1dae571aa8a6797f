"""The two facts of a TFLite file that the interpreter does not tell: the schema's version and 4-bit tensors.

Follows the FlatBuffers binary format (flatbuffers.dev/internals): a table starts with the distance back to its
vtable, which holds the offset of each field. Field numbers are those of TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

import struct

_MODEL_VERSION, _MODEL_SUBGRAPHS = 0, 2
_SUBGRAPH_TENSORS = 0
_TENSOR_TYPE = 1
_INT4 = 17


def schema_version(data: bytes) -> int:
    """Version of the schema that the file was written with."""
    at = _field(data, _follow(data, 0), _MODEL_VERSION)
    return _number("<I", data, at) if at else 0


def int4_tensors(data: bytes) -> frozenset[int]:
    """Indices of the tensors of the first subgraph that hold 4-bit integers; the interpreter calls them int8."""
    (subgraph, *_) = _vector(data, _follow(data, 0), _MODEL_SUBGRAPHS)
    tensors = _vector(data, subgraph, _SUBGRAPH_TENSORS)
    kinds = [(index, _field(data, tensor, _TENSOR_TYPE)) for index, tensor in enumerate(tensors)]
    return frozenset(index for index, at in kinds if at and _number("<b", data, at) == _INT4)


def _number(form: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0])


def _follow(data: bytes, at: int) -> int:
    """Offsets are relative to where they stand."""
    return at + _number("<I", data, at)


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of a table stands; None when it has its default."""
    vtable = table - _number("<i", data, table)
    entry = 4 + 2 * number  # after the sizes of the vtable and of the table
    if entry >= _number("<H", data, vtable):
        return None
    offset = _number("<H", data, vtable + entry)
    return table + offset if offset else None


def _vector(data: bytes, table: int, number: int) -> list[int]:
    """Where the tables of a vector stand."""
    at = _field(data, table, number)
    if at is None:
        return []
    start = _follow(data, at)
    return [_follow(data, start + 4 + 4 * index) for index in range(_number("<I", data, start))]
