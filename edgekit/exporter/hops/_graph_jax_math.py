"""ONNX on JAX: arithmetic, activations, comparisons, reductions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from edgekit.exporter.hops._graph_jax_node import Node, Operator

#: One function of `jax.numpy` each.
_NUMPY = {
    "Abs": "abs",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Add": "add",
    "And": "logical_and",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atanh": "arctanh",
    "BitwiseAnd": "bitwise_and",
    "BitwiseNot": "bitwise_not",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Equal": "equal",
    "Exp": "exp",
    "Floor": "floor",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "IsNaN": "isnan",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Log": "log",
    "Mul": "multiply",
    "Neg": "negative",
    "Not": "logical_not",
    "Or": "logical_or",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Sub": "subtract",
    "Tan": "tan",
    "Tanh": "tanh",
    "Where": "where",
    "Xor": "logical_xor",
}

#: One function of `jax.nn` each.
_NN = {"Relu": "relu", "Sigmoid": "sigmoid", "Softplus": "softplus", "Softsign": "soft_sign", "Mish": "mish"}

_REDUCE: dict[str, Callable[..., Any]] = {
    "ReduceL1": lambda jnp, x, **how: jnp.sum(jnp.abs(x), **how),
    "ReduceL2": lambda jnp, x, **how: jnp.sqrt(jnp.sum(x * x, **how)),
    "ReduceLogSum": lambda jnp, x, **how: jnp.log(jnp.sum(x, **how)),
    "ReduceMax": lambda jnp, x, **how: jnp.max(x, **how),
    "ReduceMean": lambda jnp, x, **how: jnp.mean(x, **how),
    "ReduceMin": lambda jnp, x, **how: jnp.min(x, **how),
    "ReduceProd": lambda jnp, x, **how: jnp.prod(x, dtype=x.dtype, **how),
    "ReduceSum": lambda jnp, x, **how: jnp.sum(x, dtype=x.dtype, **how),
    "ReduceSumSquare": lambda jnp, x, **how: jnp.sum(x * x, dtype=x.dtype, **how),
}


def _numpy(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    return getattr(jnp, _NUMPY[node.kind])(*x)


def _nn(node: Node, x: list[Any]) -> Any:
    import jax

    return getattr(jax.nn, _NN[node.kind])(x[0])


def _divide(_node: Node, x: list[Any]) -> Any:
    """Integers are divided towards zero."""
    import jax
    import jax.numpy as jnp

    if jnp.issubdtype(x[0].dtype, jnp.integer):
        return jax.lax.div(*jnp.broadcast_arrays(*x))
    return jnp.divide(*x)


def _mod(node: Node, x: list[Any]) -> Any:
    """The rest with the dividend's sign is taken of absolute values: TFLite's converter writes it as the other one."""
    import jax.numpy as jnp

    if not node.get("fmod", 0):
        return jnp.mod(*x)
    rest = jnp.mod(jnp.abs(x[0]), jnp.abs(x[1]))
    return jnp.where(x[0] < 0, -rest, rest)


def _power(_node: Node, x: list[Any]) -> Any:
    """A small whole exponent is multiplied out: a negative base has no power otherwise in some engines."""
    import jax
    import jax.numpy as jnp

    base, exponent = x
    if isinstance(exponent, np.ndarray) and exponent.size == 1:
        value = exponent.item()
        if value == 0.5:
            return jnp.sqrt(base)
        if value == int(value) and abs(value) <= 16:
            return jnp.broadcast_to(
                jax.lax.integer_pow(base, int(value)), np.broadcast_shapes(base.shape, exponent.shape)
            )
    return jnp.power(base, exponent.astype(base.dtype))


def _fold(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    combine = {"Max": jnp.maximum, "Min": jnp.minimum, "Sum": jnp.add, "Mean": jnp.add}[node.kind]
    folded = reduce(combine, x)
    return folded / len(x) if node.kind == "Mean" else folded


def _cast(node: Node, x: list[Any]) -> Any:
    from onnx import helper

    dtype = x[1].dtype if node.kind == "CastLike" else helper.tensor_dtype_to_np_dtype(node.get("to"))
    return x[0].astype(dtype)


def _clip(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    low = x[1] if len(x) > 1 else node.get("min")
    high = x[2] if len(x) > 2 else node.get("max")
    value = x[0]
    value = value if low is None else jnp.maximum(value, np.asarray(low, value.dtype) if np.isscalar(low) else low)
    return value if high is None else jnp.minimum(value, np.asarray(high, value.dtype) if np.isscalar(high) else high)


def _is_inf(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    found = (jnp.isposinf(x[0]), node.get("detect_positive", 1)), (jnp.isneginf(x[0]), node.get("detect_negative", 1))
    return reduce(jnp.logical_or, [where for where, asked in found if asked], jnp.zeros(x[0].shape, bool))


def _erf(_node: Node, x: list[Any]) -> Any:
    import jax

    return jax.lax.erf(x[0])


def _gelu(node: Node, x: list[Any]) -> Any:
    import jax

    return jax.nn.gelu(x[0], approximate=node.get("approximate", "none") == "tanh")


def _leaky(node: Node, x: list[Any]) -> Any:
    import jax

    return jax.nn.leaky_relu(x[0], node.get("alpha", 0.01))


def _prelu(_node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    return jnp.where(x[0] >= 0, x[0], x[0] * x[1])


def _elu(node: Node, x: list[Any]) -> Any:
    """Elu, Celu and Selu differ in two factors."""
    import jax.numpy as jnp

    default = {"Elu": 1.0, "Celu": 1.0, "Selu": 1.67326319217681884765625}[node.kind]
    alpha = node.get("alpha", default)
    gamma = node.get("gamma", 1.05070102214813232421875) if node.kind == "Selu" else 1.0
    divisor = alpha if node.kind == "Celu" else 1.0
    value = jnp.where(x[0] > 0, x[0], alpha * jnp.expm1(jnp.minimum(x[0], 0) / divisor))
    return value if gamma == 1.0 else gamma * value


def _hard(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    alpha, beta = (1 / 6, 0.5) if node.kind == "HardSwish" else (node.get("alpha", 0.2), node.get("beta", 0.5))
    gate = jnp.minimum(jnp.maximum(alpha * x[0] + beta, 0.0), 1.0)
    return x[0] * gate if node.kind == "HardSwish" else gate


def _swish(node: Node, x: list[Any]) -> Any:
    import jax

    return x[0] * jax.nn.sigmoid(node.get("alpha", 1.0) * x[0])


def _thresholded(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    return jnp.where(x[0] > node.get("alpha", 1.0), x[0], jnp.zeros_like(x[0]))


def _softmax(node: Node, x: list[Any]) -> Any:
    """Before opset 13 it went over all axes from `axis` on."""
    import jax

    function = {"Softmax": jax.nn.softmax, "LogSoftmax": jax.nn.log_softmax}[node.kind]
    if node.opset >= 13:
        return function(x[0], axis=node.get("axis", -1))
    first = node.get("axis", 1) % x[0].ndim
    return function(x[0], axis=tuple(range(first, x[0].ndim)))


def _reduce(node: Node, x: list[Any]) -> Any:
    """Over the axes that the input was transposed from, so that the transposition may cancel afterwards."""
    import jax.numpy as jnp

    axes = node.axes(x, 1)
    if not axes and node.get("noop_with_empty_axes", 0):
        return x[0]
    inner, order = node.layout.source(x[0]) or (x[0], tuple(range(x[0].ndim)))
    chosen = [axis % x[0].ndim for axis in axes] if axes else list(range(x[0].ndim))
    where = tuple(order[axis] for axis in chosen)
    if node.kind == "ReduceLogSumExp":
        import jax

        reduced = jax.nn.logsumexp(inner, axis=where, keepdims=True)
    else:
        reduced = _REDUCE[node.kind](jnp, inner, axis=where, keepdims=True)
    kept = node.layout.transpose(reduced, order)
    return kept if node.get("keepdims", 1) else jnp.squeeze(kept, tuple(chosen))


def _arg(node: Node, x: list[Any]) -> Any:
    import jax.numpy as jnp

    if node.get("select_last_index", 0):
        raise node.unsupported("the last of equal values")
    axis, value = node.get("axis", 0), x[0]
    if value.dtype == np.int64:  # TFLite finds the largest of these, but not its place
        extreme = {"ArgMax": jnp.max, "ArgMin": jnp.min}[node.kind](value, axis, keepdims=True)
        found = jnp.argmax((value == extreme).astype(np.int32), axis, keepdims=bool(node.get("keepdims", 1)))
    else:
        function = {"ArgMax": jnp.argmax, "ArgMin": jnp.argmin}[node.kind]
        found = function(value, axis=axis, keepdims=bool(node.get("keepdims", 1)))
    return found.astype(np.int64)


def _cumulative(node: Node, x: list[Any]) -> Any:
    """As a product with a triangle: the sum of windows that it would be otherwise is no operator of TFLite."""
    import jax.numpy as jnp

    axis = int(node.fixed(x[1], "axes").item()) % x[0].ndim
    length = x[0].shape[axis]
    triangle = np.triu(np.ones((length, length), x[0].dtype), k=1 if node.get("exclusive", 0) else 0)
    triangle = triangle.T if node.get("reverse", 0) else triangle
    return jnp.moveaxis(jnp.matmul(jnp.moveaxis(x[0], axis, -1), triangle), -1, axis)


_ACTIVATIONS: dict[str, Operator] = {
    **dict.fromkeys(_NN, _nn),
    "Celu": _elu,
    "Clip": _clip,
    "Elu": _elu,
    "Erf": _erf,
    "Gelu": _gelu,
    "HardSigmoid": _hard,
    "HardSwish": _hard,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Selu": _elu,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded,
}

_VALUE_BY_VALUE: dict[str, Operator] = {
    **dict.fromkeys(_NUMPY, _numpy),
    **_ACTIVATIONS,
    "Cast": _cast,
    "CastLike": _cast,
    "Div": _divide,
    "IsInf": _is_inf,
    "Max": _fold,
    "Mean": _fold,
    "Min": _fold,
    "Mod": _mod,
    "Pow": _power,
    "Sum": _fold,
}

#: Operators whose results do not depend on the order of axes, once inputs are broadcast.
VALUE_BY_VALUE = frozenset(_VALUE_BY_VALUE)

OPERATORS: dict[str, Operator] = {
    **_VALUE_BY_VALUE,
    **dict.fromkeys((*_REDUCE, "ReduceLogSumExp"), _reduce),
    "ArgMax": _arg,
    "ArgMin": _arg,
    "CumSum": _cumulative,
    "LogSoftmax": _softmax,
    "Softmax": _softmax,
}
