"""A traced JAX function in double precision: every float32 number, weight and result becomes a float64 one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.exporter.sources._jaxpr import CALLS, compute, inner_functions, opened


def evaluate(function: Any, arrays: Sequence[Any]) -> list[Any]:
    """Compute a function equation by equation, within ``jax.enable_x64(True)``.

    Args:
        function: a jaxpr, with or without the arrays that it holds.
        arrays: its inputs.

    Raises:
        NotImplementedError: it branches, or loops until a condition holds.
    """
    jaxpr, consts = opened(function)
    values: dict[Any, Any] = {}
    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arrays, strict=True))

    def read(atom: Any) -> Any:
        return _wide(atom.val if hasattr(atom, "val") else values[atom])

    for equation in jaxpr.eqns:
        found = _compute(equation, [read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _compute(equation: Any, operands: list[Any]) -> Sequence[Any]:
    inner = next(inner_functions(equation), None)
    if inner is None:
        params = {
            name: np.dtype(np.float64) if _is_float32(value) else value for name, value in equation.params.items()
        }
        return compute(equation.replace(params=params), operands)
    if equation.primitive.name in CALLS:
        return evaluate(inner, operands)
    if equation.primitive.name == "scan":
        return _scan(equation.params, operands)
    raise NotImplementedError(f"{equation.primitive.name} keeps the types that it was traced with")


def _scan(params: Mapping[str, Any], operands: Sequence[Any]) -> list[Any]:
    """``jax.lax.scan``; its operands are constants, what is carried, and what is scanned."""
    from jax import lax

    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, scanned = operands[:first], operands[first:second], operands[second:]

    def step(carried: list[Any], slices: list[Any]) -> tuple[list[Any], list[Any]]:
        found = evaluate(params["jaxpr"], [*consts, *carried, *slices])
        return found[: len(carried)], found[len(carried) :]

    last, rows = lax.scan(step, carry, scanned, params["length"], params["reverse"])
    return [*last, *rows]


def _wide(value: Any) -> Any:
    if getattr(value, "dtype", None) != np.float32:
        return value
    return value.astype(np.float64) if hasattr(value, "astype") else np.float64(value)  # a literal of JAX's own kind


def _is_float32(value: Any) -> bool:
    return isinstance(value, np.dtype) and value == np.float32
