"""OpenVINO to ONNX: arithmetic, activations, comparisons, reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.exporter.hops._ir_writer import Translate, dtype_of, lengths, rank_of, unsupported

if TYPE_CHECKING:
    from edgekit.exporter.hops._ir_writer import Writer

#: Operators that mean the same; the types of both inputs are equal in both formats.
_SAME = {
    **{name: name for name in ("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Erf", "Exp")},
    **{name: name for name in ("Floor", "Log", "Relu", "Sigmoid", "Sign", "Sin", "Sinh", "Sqrt", "Tan", "Tanh")},
    **{name: name for name in ("Equal", "Greater", "Less", "Mish")},
    "Add": "Add",
    "Ceiling": "Ceil",
    "GreaterEqual": "GreaterOrEqual",
    "HSwish": "HardSwish",
    "IsInf": "IsInf",
    "IsNaN": "IsNaN",
    "LessEqual": "LessOrEqual",
    "LogicalAnd": "And",
    "LogicalNot": "Not",
    "LogicalOr": "Or",
    "LogicalXor": "Xor",
    "Multiply": "Mul",
    "Negative": "Neg",
    "Power": "Pow",
    "SoftPlus": "Softplus",
    "SoftSign": "Softsign",
    "Subtract": "Sub",
}

_REDUCE = ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum")


def _same(w: Writer, op: Any, x: list[str]) -> str:
    _numpy_rules(op)
    return w.add(_SAME[op.get_type_name()], *x)


def _numpy_rules(op: Any) -> None:
    if op.get_attributes().get("auto_broadcast") == "pdpd":
        raise unsupported(op, "broadcasting by the rules of PaddlePaddle")


def _extreme(w: Writer, op: Any, x: list[str]) -> str:
    _numpy_rules(op)
    return w.add({"Maximum": "Max", "Minimum": "Min"}[op.get_type_name()], *x)


def _divide(w: Writer, op: Any, x: list[str]) -> str:
    _numpy_rules(op)
    if _is_integer(op) and op.get_attributes().get("m_pythondiv", True):
        rest = w.add("Mod", *x)  # of the divisor's sign, so the division is exact and rounds to minus infinity
        return w.add("Div", w.add("Sub", x[0], rest), x[1])
    return w.add("Div", *x)


def _mod(w: Writer, op: Any, x: list[str]) -> str:
    _numpy_rules(op)
    return w.add("Mod", *x, fmod=1)  # the sign of the dividend


def _floor_mod(w: Writer, op: Any, x: list[str]) -> str:
    _numpy_rules(op)
    if _is_integer(op):
        return w.add("Mod", *x)
    return w.add("Sub", x[0], w.add("Mul", w.add("Floor", w.add("Div", *x)), x[1]))


def _not_equal(w: Writer, op: Any, x: list[str]) -> str:
    _numpy_rules(op)
    return w.add("Not", w.add("Equal", *x))


def _squared_difference(w: Writer, op: Any, x: list[str]) -> str:
    _numpy_rules(op)
    difference = w.add("Sub", *x)
    return w.add("Mul", difference, difference)


def _swish(w: Writer, _op: Any, x: list[str]) -> str:
    return w.add("Mul", x[0], w.add("Sigmoid", w.add("Mul", *x) if len(x) > 1 else x[0]))


def _gelu(w: Writer, op: Any, x: list[str]) -> str:
    """By its formulas: ONNX has the operator since opset 20 only."""
    dtype = dtype_of(op.input(0))

    def number(value: float) -> str:
        return w.constant(value, dtype)

    if op.get_attributes().get("approximation_mode", "ERF").upper() == "ERF":
        inner = w.add("Erf", w.add("Mul", x[0], number(1 / np.sqrt(2))))
    else:
        cube = w.add("Mul", w.add("Mul", x[0], x[0]), x[0])
        inner = w.add("Add", x[0], w.add("Mul", cube, number(0.044715)))
        inner = w.add("Tanh", w.add("Mul", inner, number(np.sqrt(2 / np.pi))))
    return w.add("Mul", w.add("Mul", x[0], number(0.5)), w.add("Add", inner, number(1)))


def _clamp(w: Writer, op: Any, x: list[str]) -> str:
    dtype = dtype_of(op.input(0))
    low, high = op.get_attributes()["min"], op.get_attributes()["max"]
    if dtype.kind in "iu":
        low, high = max(np.ceil(low), np.iinfo(dtype).min), min(np.floor(high), np.iinfo(dtype).max)
    else:
        low, high = max(low, np.finfo(dtype).min), min(high, np.finfo(dtype).max)
    return w.add("Clip", x[0], w.constant(low, dtype), w.constant(high, dtype))


def _prelu(w: Writer, op: Any, x: list[str]) -> str:
    """The slope of one axis belongs to the channels, axis 1."""
    slope, rank = lengths(op.input(1)), rank_of(op)
    if slope is None:
        raise unsupported(op, "a slope of unknown rank")
    if len(slope) == 1 and slope != [1] and rank > 2:
        return w.add("PRelu", x[0], w.reshape(x[1], [-1, *[1] * (rank - 2)]))
    return w.add("PRelu", *x)


def _round(w: Writer, op: Any, x: list[str]) -> str:
    if op.get_attributes()["mode"] == "half_to_even":
        return w.add("Round", x[0])
    half = w.constant(0.5, dtype_of(op.input(0)))
    return w.add("Mul", w.add("Sign", x[0]), w.add("Floor", w.add("Add", w.add("Abs", x[0]), half)))


def _hard_sigmoid(w: Writer, op: Any, x: list[str]) -> str:
    alpha, beta = (float(w.needed(op, index, "its slope and offset").item()) for index in (1, 2))
    return w.add("HardSigmoid", x[0], alpha=alpha, beta=beta)


def _selu(w: Writer, op: Any, x: list[str]) -> str:
    alpha, gamma = (float(w.needed(op, index, "its coefficients").item()) for index in (1, 2))
    return w.add("Selu", x[0], alpha=alpha, gamma=gamma)


def _convert(w: Writer, op: Any, x: list[str]) -> str:
    return w.cast(x[0], dtype_of(op.output(0)))


def _softmax(w: Writer, op: Any, x: list[str]) -> str:
    return w.add(op.get_type_name(), x[0], axis=op.get_attributes()["axis"])


def _reduce(w: Writer, op: Any, x: list[str]) -> str:
    keep = int(op.get_attributes()["keep_dims"])
    known = w.static(op, 1)
    if known is not None and known.size == 0:
        return w.add("Identity", x[0])
    axes = w.int64(op, 1, x[1]) if known is None else w.constant(np.atleast_1d(known))
    return w.add(op.get_type_name(), x[0], axes, keepdims=keep)


def _reduce_logical(w: Writer, op: Any, x: list[str]) -> str:
    kind = {"ReduceLogicalAnd": "ReduceMin", "ReduceLogicalOr": "ReduceMax"}[op.get_type_name()]
    axes = w.constant(np.atleast_1d(w.needed(op, 1, "axes")))
    numbers = w.add(kind, w.cast(x[0], np.int32), axes, keepdims=int(op.get_attributes()["keep_dims"]))
    return w.cast(numbers, np.bool_)


def _is_integer(op: Any) -> bool:
    return dtype_of(op.input(0)).kind in "iu"


OPERATORS: dict[str, Translate] = {
    **dict.fromkeys(_SAME, _same),
    **{f"Reduce{name}": _reduce for name in _REDUCE},
    "Clamp": _clamp,
    "Convert": _convert,
    "ConvertLike": _convert,
    "Divide": _divide,
    "Elu": lambda w, op, x: w.add("Elu", x[0], alpha=op.get_attributes()["alpha"]),
    "FloorMod": _floor_mod,
    "Gelu": _gelu,
    "HSigmoid": lambda w, op, x: w.add("HardSigmoid", x[0], alpha=1 / 6, beta=0.5),
    "HardSigmoid": _hard_sigmoid,
    "LogSoftmax": _softmax,
    "Maximum": _extreme,
    "Minimum": _extreme,
    "Mod": _mod,
    "NotEqual": _not_equal,
    "PRelu": _prelu,
    "ReduceLogicalAnd": _reduce_logical,
    "ReduceLogicalOr": _reduce_logical,
    "Round": _round,
    "Select": lambda w, op, x: w.add("Where", *x),
    "Selu": _selu,
    "Softmax": _softmax,
    "SquaredDifference": _squared_difference,
    "Swish": _swish,
}
