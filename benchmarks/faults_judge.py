"""Whether a check names the right operator: decided by the graph of the artifact alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Operators that engines fuse into the one before, and layers of a source hold beside their main one; lower case.
_LIGHT_KINDS = """
abs add batchnormalization cast clamp clip convert dequantize dequantizelinear div divide elu erf exp expand_dims
fakequantize flatten gelu hard_swish hardsigmoid hardswish hswish identity leaky_relu leakyrelu logistic max maximum min
minimum mish mul multiply neg negative pad pow power prelu quantize quantizelinear reciprocal relu relu6 reshape rsqrt
selu sigmoid softplus sqrt square squared_difference squareddifference squeeze sub subtract swish tanh transpose
unsqueeze
"""
_LIGHT = frozenset(_LIGHT_KINDS.split())

#: Of these, operators that only prepare what comes next: they are part of the layer behind them.
_PREPARING_KINDS = "cast convert expand_dims flatten identity pad reshape squeeze transpose unsqueeze"
_PREPARING = frozenset(_PREPARING_KINDS.split())

Graph = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Named:
    """What a check names.

    Attributes:
        stage: the first that breaks.
        layer: of the source.
        operators: of the artifact: one, or several that are wrong together.
    """

    stage: str | None
    layer: str | None
    operators: tuple[str, ...]


def named_in(row: Mapping[str, Any]) -> Named:
    """The culprit of a row, as ``--json`` prints it."""
    found = row.get("blame") or {}
    operator = found.get("operator")
    operators = (*([operator] if operator else []), *found.get("together", ()))
    return Named(found.get("stage"), found.get("layer"), operators)


def is_right(graph: Graph, changed: str, named: Named, *, inserted: bool) -> bool:
    """Whether a check names the changed operator, one that belongs to it, or the layer that their own names tell.

    Args:
        graph: operators of the artifact with the fault: ``name``, ``kind``, ``inputs``, ``outputs``.
        changed: the operator with the fault.
        named: by the check.
        inserted: whether the clean artifact has no such operator.
    """
    belonging = group(graph, changed, inserted=inserted)
    if named.layer is not None and any(f"/{named.layer}/" in f"/{name.replace('.', '/')}/" for name in belonging):
        return True
    return not belonging.isdisjoint(named.operators)


def group(graph: Graph, changed: str, *, inserted: bool) -> set[str]:
    """The operators that belong together with one: a main operator, and the light ones around it.

    A source has one layer for all of these, such as a convolution with its padding, bias and activation.

    An operator that only moves numbers, or that the clean artifact has not, shows first in what takes its result.
    """
    first = next((operator for operator in graph if operator["name"] == changed), None)
    if first is None:
        return {changed}
    found = {changed} | _before(graph, first, _LIGHT if _is_light(first) else _PREPARING)
    behind = [first]
    if inserted or str(first["kind"]).lower() in _PREPARING:
        behind = [first, *_mains_behind(graph, first)]
    for operator in behind:
        found.add(str(operator["name"]))
        found |= {str(one["name"]) for one in _light_behind(graph, operator)}
    return found


def _is_light(operator: Mapping[str, Any]) -> bool:
    return str(operator["kind"]).lower() in _LIGHT


def _users(graph: Graph, operator: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    made = set(operator["outputs"])
    for one in graph:
        if not made.isdisjoint(one["inputs"]):
            yield one


def _light_behind(graph: Graph, operator: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting, seen = [operator], set()
    while waiting:
        for one in _users(graph, waiting.pop()):
            if _is_light(one) and one["name"] not in seen:
                seen.add(one["name"])
                waiting.append(one)
                yield one


def _mains_behind(graph: Graph, operator: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The first main operators that take what an operator gives, through light ones."""
    light = [operator, *_light_behind(graph, operator)]
    for one in light:
        yield from (user for user in _users(graph, one) if not _is_light(user))


def _before(graph: Graph, operator: Mapping[str, Any], kinds: frozenset[str]) -> set[str]:
    """Operators of some kinds in front of one; and, of a light one, the main ones that these follow."""
    maker = {name: one for one in graph for name in one["outputs"]}
    found: set[str] = set()
    waiting = list(operator["inputs"])
    while waiting:
        one = maker.get(waiting.pop())
        if one is None or one["name"] in found:
            continue
        belongs = str(one["kind"]).lower() in kinds
        if belongs or kinds is _LIGHT:
            found.add(str(one["name"]))
        if belongs:
            waiting += one["inputs"]
    return found
