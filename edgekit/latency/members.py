"""Which operators of a file an engine's operator was made of.

Engines fuse operators, and rename what they fuse: OpenVINO lists the originals, ONNX Runtime keeps the name of one of
them, or of what it computes, with something behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgekit.runtimes.profile import EngineOperator
from edgekit.surgery.base import Graph, Operator

#: What may follow a name that an engine kept: ``conv_nchwc``, ``conv/Fused``.
_BEHIND = ("_", "/", ":", ".")

#: Beginnings of the kinds of operators that swallow what follows them, in lower case without underscores.
_PRODUCTS = ("conv", "groupconv", "depthwiseconv", "matmul", "gemm", "fullyconnected", "batchmatmul")

#: Beginnings of the kinds of operators that engines add, likewise.
_ADDED = ("cast", "convert", "dequantize", "fakequantize", "quantize", "reorder", "reshape", "transpose")


def members_of(executed: Sequence[EngineOperator], graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Names of the operators of a file that each executed one stands for, in the order of the file.

    Args:
        executed: by the engine.
        graph: of the file. An operator that no name and no kind leads to was fused: a product, and what turns integers
            into floats, into what comes next; anything else into what it follows.
    """
    keys = {key: operator for operator in graph.operators for key in (*operator.outputs, operator.name)}
    claimed: dict[str, int] = {}
    for place, one in enumerate(executed):
        for part in one.parts:
            found = _named(part, keys)
            if found is not None:
                claimed.setdefault(found.name, place)
    for place, name in _by_kind(executed, graph, claimed):
        claimed[name] = place
    for operator in graph.operators:
        if operator.name not in claimed:
            place_of = _fused(operator, graph, claimed)
            if place_of is not None:
                claimed[operator.name] = place_of
    order = [operator.name for operator in graph.operators]
    return tuple(tuple(name for name in order if claimed.get(name) == place) for place in range(len(executed)))


def _named(part: str, keys: Mapping[str, Operator]) -> Operator | None:
    """The operator of the longest name that a part begins with."""
    fits = (key for key in keys if part == key or part.startswith(tuple(key + mark for mark in _BEHIND)))
    longest = max(fits, key=len, default=None)
    return None if longest is None else keys[longest]


def _by_kind(executed: Sequence[EngineOperator], graph: Graph, claimed: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """Operators that an engine gave a name of its own: those of a kind in their order, where as many are left over.

    Changes of layout and of number format are not looked for: engines add such ones themselves.
    """
    known = set(claimed.values())
    nameless: dict[str, list[int]] = {}
    for place, one in enumerate(executed):
        if place not in known and not _plain(one.kind).startswith(_ADDED):
            nameless.setdefault(_plain(one.kind), []).append(place)
    for kind, places in nameless.items():
        left = [one.name for one in graph.operators if _plain(one.kind) == kind and one.name not in claimed]
        if len(left) == len(places):
            yield from zip(places, left, strict=True)


def _plain(kind: str) -> str:
    return kind.lower().replace("_", "")


def _fused(operator: Operator, graph: Graph, claimed: Mapping[str, int]) -> int | None:
    """Where an operator went that no executed one is named after."""
    kind = _plain(operator.kind)
    forward = kind.startswith((*_PRODUCTS, "dequantize"))
    for direction in (forward, not forward):
        found = _nearest(operator, graph, claimed, forward=direction)
        if found is not None:
            return found
    return None


def _nearest(operator: Operator, graph: Graph, claimed: Mapping[str, int], *, forward: bool) -> int | None:
    """The first claimed operator on the way, the nearest first."""
    waiting, seen = [operator], {operator.name}
    while waiting:
        one = waiting.pop(0)
        if one.name in claimed:
            return claimed[one.name]
        ends = set(one.outputs if forward else one.inputs)
        for other in graph.operators:
            if other.name not in seen and not ends.isdisjoint(other.inputs if forward else other.outputs):
                seen.add(other.name)
                waiting.append(other)
    return None
