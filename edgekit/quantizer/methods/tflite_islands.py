"""Which operators of a .tflite file are worth quantizing, and which int8 would destroy.

A converter that has no operator for a function writes it out as arithmetic: the error function in an exact GELU
becomes some sixty multiplications and additions, one branch of which divides by zero and is discarded by a select.
Quantized to 8 bits such a polynomial is noise, and an infinite range makes a file that crashes the engine. So are a
normalization's mean, variance and inverse root, and the gates of a recurrent cell step by step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgekit.quantizer.methods import tflite_graph
from edgekit.quantizer.methods.tflite_graph import MOVES, PRODUCTS, Operator
from edgekit.quantizer.methods.tflite_ranges import Limits
from edgekit.quantizer.recipe import ModelKind

#: Operators that 8 bits cannot hold; arithmetic that hangs on one of them alone is part of a written-out function.
FLOAT_ONLY = {"ABS", "ATAN2", "COS", "ERF", "EXP", "FLOOR", "LOG", "NEG", "POW", "SIGN", "SIN", "SQUARE"}

#: Arithmetic that can be part of a written-out function.
ARITHMETIC = {"ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "SELECT", "SELECT_V2", "SQRT", "RSQRT", "SUB"}

#: No range may be wider than float16's largest number: one int8 step would be over 500.
WIDEST = 65504.0

_RECURRENT = {"WHILE", "LSTM", "RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"}
_CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"}

#: Operators that look values up in a stored table, and the number of values from which its size counts.
_TABLES = {"EMBEDDING_LOOKUP", "GATHER", "GATHER_ND"}
_LARGE = 4096


def model_kind(model: Any) -> ModelKind:
    """What a model is, from its graph.

    A product of two activations is attention; converters unroll a short recurrence, which shows as several steps with
    sigmoid and tanh gates; convolutions beside written-out normalization are quantized as a transformer is.
    """
    found = list(tflite_graph.operators(model))
    kinds = [operator.kind for operator in found]
    if any(
        operator.kind == "BATCH_MATMUL" and not any(tflite_graph.is_constant(model, one) for one in operator.inputs)
        for operator in found
    ):
        return "transformer"
    convolutions = not _CONVOLUTIONS.isdisjoint(kinds)
    gates = min(kinds.count("LOGISTIC"), kinds.count("TANH"))
    if not _RECURRENT.isdisjoint(kinds) or (gates >= 2 and not convolutions):
        return "recurrent"
    if convolutions:
        return "transformer" if "RSQRT" in kinds else "convolutional"
    return "other"


def products(model: Any, operators: Sequence[Operator]) -> list[Operator]:
    """Matrix products and convolutions, what moves values, and large stored tables.

    Everything between stays float: that costs no multiply-accumulate in few bits, and on trained models it gained
    5 dB on an LSTM, while a transformer's written-out normalization crashed the engine in int8.
    """
    return [
        operator
        for operator in operators
        if operator.kind in (*PRODUCTS, *MOVES) or (operator.kind in _TABLES and _has_large_table(model, operator))
    ]


def fed(model: Any, operators: Sequence[Operator], *, whole: bool) -> list[Operator]:
    """Operators without those that only move values which are not in int8: quantizing them gains nothing.

    So a bad tensor is in float once the operators that make and take it are, whatever moves it between them.

    Args:
        model: float.
        operators: of one graph, in execution order.
        whole: whether the inputs of the model are in int8.
    """
    made: set[int] = {int(index) for index in model.subgraphs[0].inputs} if whole else set()
    chosen = []
    for operator in operators:
        values = {
            int(index)
            for index in operator.raw.inputs
            if index >= 0
            and tflite_graph.type_name(operator.graph.tensors[index]) == "FLOAT32"
            and not tflite_graph.is_constant(model, operator.graph.tensors[index])
        }
        if operator.kind not in MOVES or (values and values <= made):
            chosen.append(operator)
            made.update(int(index) for index in operator.raw.outputs)
    return chosen


def _has_large_table(model: Any, operator: Operator) -> bool:
    sizes = [
        math.prod(tensor.shape)
        for tensor in operator.inputs
        if tensor.shape is not None and tflite_graph.is_constant(model, tensor)
    ]
    return max(sizes, default=0) >= _LARGE


def written_out(model: Any, ranges: Limits) -> set[str]:
    """Names of operators that are part of a function which is written out as arithmetic.

    Args:
        model: float.
        ranges: of its activations.
    """
    found: set[str] = set()
    every = list(tflite_graph.operators(model))
    for graph in model.subgraphs:
        found |= _in_graph(model, [operator for operator in every if operator.graph is graph], ranges)
    return found


def _in_graph(model: Any, operators: list[Operator], ranges: Limits) -> set[str]:
    inside = {
        index
        for index, operator in enumerate(operators)
        if operator.kind in FLOAT_ONLY or _is_too_wide(operator, ranges)
    }
    grown = True
    while grown:
        touched = {tensor for index in inside for tensor in _tensors(operators[index])}
        produced = {int(tensor) for index in inside for tensor in operators[index].raw.outputs}
        new = {
            index
            for index, operator in enumerate(operators)
            if index not in inside and operator.kind in ARITHMETIC and _hangs_on(model, operator, touched, produced)
        }
        inside |= new
        grown = bool(new)
    return {operators[index].name for index in inside}


def _hangs_on(model: Any, operator: Operator, touched: set[int], produced: set[int]) -> bool:
    """Whether arithmetic has no other input than the island, or scales one tensor that the island touches."""
    tensors = operator.graph.tensors
    constants = {int(i) for i in operator.raw.inputs if tflite_graph.is_constant(model, tensors[i])}
    inputs = {int(i) for i in operator.raw.inputs} - constants
    scalar = any(math.prod(tensors[i].shape if tensors[i].shape is not None else ()) == 1 for i in constants)
    return inputs <= produced or (scalar and not touched.isdisjoint(inputs | {int(i) for i in operator.raw.outputs}))


def _tensors(operator: Operator) -> list[int]:
    return [int(index) for index in (*operator.raw.inputs, *operator.raw.outputs) if index >= 0]


def _is_too_wide(operator: Operator, ranges: Limits) -> bool:
    names = [operator.graph.tensors[index].name.decode() for index in _tensors(operator)]
    limits = [limit for name in names for limit in ranges.get(name, ())]
    return not all(abs(limit) <= WIDEST for limit in limits)  # true for NaN too
