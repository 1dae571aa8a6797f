"""Floating point operations of one inference: two per multiplication and addition of convolutions and products.

Other operators are left out, as papers and `torch.utils.flop_counter` do: they are a few percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from edgekit.types import Signature


def one_sample(signature: Signature) -> list[tuple[int, ...]] | None:
    """A shape per input with a batch of one; None where another length is free, on which the count depends."""
    shapes = [spec.shape for spec in signature.inputs]
    if any(None in shape[1:] for shape in shapes):
        return None
    return [tuple(1 if axis == 0 else length or 1 for axis, length in enumerate(shape)) for shape in shapes]


def flops_of_jax(function: Callable[..., Any], signature: Signature) -> int | None:
    """Count by tracing a JAX function; None for free sizes or a loop of unknown length."""
    import jax

    shapes = one_sample(signature)
    if shapes is None:
        return None
    arrays = [jax.ShapeDtypeStruct(shape, spec.dtype) for shape, spec in zip(shapes, signature.inputs, strict=True)]
    return _of_jaxpr(jax.make_jaxpr(function)(*arrays).jaxpr)


def flops_of_torch(module: Any, tensors: Sequence[Any]) -> int:
    """Count by running a torch module once."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*tensors)
    return int(counter.get_total_flops())


def _of_jaxpr(jaxpr: Any) -> int | None:
    total = 0
    for equation in jaxpr.eqns:
        found = _of_equation(equation)
        if found is None:
            return None
        total += found
    return total


def _of_equation(equation: Any) -> int | None:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return int(2 * prod(equation.outvars[0].aval.shape) * prod(left[axis] for axis in contracted))
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        per_output = prod(kernel) // kernel[params["dimension_numbers"].rhs_spec[0]]
        zeros = prod(params["lhs_dilation"])  # a transposed convolution multiplies them only on paper
        return int(2 * prod(equation.outvars[0].aval.shape) * per_output // zeros)
    inner = [_of_jaxpr(one) for one in _inside(params)]
    if not inner:
        return 0
    if name == "while" or None in inner:
        return None
    counts = [count for count in inner if count is not None]
    if name == "cond":
        return max(counts)
    return sum(counts) * int(params.get("length", 1) if name == "scan" else 1)


def _inside(params: dict[str, Any]) -> list[Any]:
    """Programs that an equation calls."""
    found = []
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(item, "jaxpr", item)
            if hasattr(inner, "eqns"):
                found.append(inner)
    return found
