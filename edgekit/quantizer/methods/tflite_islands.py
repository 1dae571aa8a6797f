"""Which operators of a .tflite file int8 would destroy, by what they compute and by their measured ranges.

A converter that has no operator for a function writes it out as arithmetic: the error function in an exact GELU
becomes some sixty multiplications and additions, one branch of which divides by zero and is discarded by a select.
Quantized to 8 bits such a polynomial is noise, and an infinite range makes a file that crashes the engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgekit.quantizer.methods import tflite_

#: Operators that 8 bits cannot hold; arithmetic that hangs on one of them alone is part of a written-out function.
FLOAT_ONLY = {"ABS", "ATAN2", "COS", "ERF", "EXP", "FLOOR", "LOG", "NEG", "POW", "SIGN", "SIN", "SQUARE"}

#: Arithmetic that can be part of a written-out function.
ARITHMETIC = {"ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "SELECT", "SELECT_V2", "SQRT", "RSQRT", "SUB"}

#: No range may be wider than float16's largest number: one int8 step would be over 500.
WIDEST = 65504.0


def float_operators(content: bytes, ranges: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the outputs of operators that should stay float.

    Args:
        content: the float model.
        ranges: ``min`` and ``max`` by tensor name.
    """
    model = tflite_.parse(content)
    return [name for graph in model.subgraphs for name in _in_graph(model, graph, ranges)]


def _in_graph(model: Any, graph: Any, ranges: Mapping[str, Mapping[str, Any]]) -> list[str]:
    operators = list(graph.operators)
    kinds = [tflite_.kind(model, operator) for operator in operators]
    inside = {
        index
        for index, operator in enumerate(operators)
        if kinds[index] in FLOAT_ONLY or any(_too_wide(graph, tensor, ranges) for tensor in _tensors(operator))
    }
    grown = True
    while grown:
        touched = {tensor for index in inside for tensor in _tensors(operators[index])}
        produced = {int(tensor) for index in inside for tensor in operators[index].outputs}
        new = {
            index
            for index, operator in enumerate(operators)
            if index not in inside
            and kinds[index] in ARITHMETIC
            and _hangs_on(model, graph, operator, touched, produced)
        }
        inside |= new
        grown = bool(new)
    return [graph.tensors[operators[index].outputs[0]].name.decode() for index in sorted(inside)]


def _hangs_on(model: Any, graph: Any, operator: Any, touched: set[int], produced: set[int]) -> bool:
    """Whether arithmetic has no other input than the island, or scales one tensor that the island touches."""
    constants = {int(i) for i in operator.inputs if tflite_.is_constant(model, graph.tensors[i])}
    inputs = {int(i) for i in operator.inputs} - constants
    scalar = any(
        math.prod(graph.tensors[i].shape if graph.tensors[i].shape is not None else ()) == 1 for i in constants
    )
    return inputs <= produced or (scalar and not touched.isdisjoint(inputs | {int(i) for i in operator.outputs}))


def _tensors(operator: Any) -> list[int]:
    return [int(index) for index in (*operator.inputs, *operator.outputs) if index >= 0]


def _too_wide(graph: Any, tensor: int, ranges: Mapping[str, Mapping[str, Any]]) -> bool:
    measured = ranges.get(graph.tensors[tensor].name.decode())
    if not measured:
        return False
    low, high = float(measured["min"].min()), float(measured["max"].max())
    return not (abs(low) <= WIDEST and abs(high) <= WIDEST)  # false for NaN too
