"""JAX functions as JAX traces them: what they hold and do, and the same functions changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Calls of a function inside; to compute it in place is the same.
CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "checkpoint"})

#: What passes an index on to a gather: how JAX wraps negative ones, and changes of shape and type.
_KEEPS_INDICES = frozenset(
    {
        *("add", "broadcast_in_dim", "clamp", "convert_element_type", "copy", "max", "min", "reshape"),
        *("select_n", "squeeze", "stop_gradient", "transpose"),
    }
)


#: Takes the named scopes around an equation, the equation, and what it computed.
Watch = Callable[[str, Any, Sequence[Any]], None]


class _Watching:
    """Shows equations, with the scopes that they lie in."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._scopes: list[str] = []  # of the equations around, each relative to the one around it

    @contextmanager
    def inside(self, equation: Any) -> Iterator[None]:
        self._scopes.append(str(equation.source_info.name_stack))
        try:
            yield
        finally:
            self._scopes.pop()

    def show(self, equation: Any, values: Sequence[Any]) -> None:
        path = "/".join(filter(None, [*self._scopes, str(equation.source_info.name_stack)]))
        self._watch(path, equation, values)


@dataclass(frozen=True)
class Traced:
    """A function as JAX traced it.

    Attributes:
        closed: the ``ClosedJaxpr``.
    """

    closed: Any

    def weights(self) -> tuple[np.ndarray, ...]:
        """Arrays that the function holds: numbers of any float type, and integers of 8 bits or fewer."""
        return tuple(np.asarray(array) for array in self.held().values())

    def operators(self) -> Counter[str]:
        """How often each primitive occurs, calls of inner functions not counted."""
        names = (equation.primitive.name for equation in self._equations())
        return Counter(name for name in names if name not in CALLS)

    def loops(self, most_steps: int) -> tuple[str, ...]:
        """Loops that `evaluate` leaves: longer ones, of a free number of steps, or until a condition holds."""
        found = []
        for equation in self._equations():
            name, steps = equation.primitive.name, equation.params.get("length")
            if name == "while":
                found.append("while_loop")
            elif name == "scan" and not _is_short(equation, most_steps):
                found.append(f"scan of {steps} steps")
        return tuple(found)

    def has_short_loops(self, most_steps: int) -> bool:
        """Whether `evaluate` writes any out."""
        return any(_is_short(equation, most_steps) for equation in self._equations())

    def index_limits(self) -> Mapping[int, int]:
        """Length of the table that an input indexes, by the position of the input; the shortest of several tables."""
        limits: dict[int, int] = {}
        jaxpr = self.closed.jaxpr
        _follow(jaxpr, dict(zip(jaxpr.invars, range(len(jaxpr.invars)), strict=True)), limits)
        return limits

    def evaluate(self, most_steps: int) -> Callable[..., tuple[Any, ...]]:
        """The function, computed primitive by primitive, loops of at most so many steps written out.

        It takes arrays of the shapes it was traced with, and the same symbols: they stand in the primitives.
        """

        def function(*arrays: Any) -> tuple[Any, ...]:
            return tuple(_evaluate(*_live(*opened(self.closed)), arrays, most_steps))

        return function

    def watched(self, arrays: Sequence[Any], watch: Watch) -> list[Any]:
        """Compute the function equation by equation, inner functions in place, and show each.

        Args:
            arrays: of the shapes it was traced with.
            watch: is given the scopes around an equation, the equation, and what it computed.
        """
        return _evaluate(*opened(self.closed), arrays, 0, _Watching(watch))

    def held(self) -> dict[int, Any]:
        """Weights by identity: inner functions share them."""
        found: dict[int, Any] = {}
        for _, consts in _functions(self.closed):
            found.update((id(array), array) for array in consts if _is_weight(array))
        return found

    def _equations(self) -> Iterator[Any]:
        for jaxpr, _ in _functions(self.closed):
            yield from jaxpr.eqns


def trace(function: Callable[..., Any], arrays: Sequence[Any]) -> Traced:
    """Trace a function of flat arrays.

    Args:
        function: to trace.
        arrays: anything with a shape, symbols for free dimensions, and a dtype.
    """
    import jax

    return Traced(jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays)))


def with_weights(
    function: Callable[..., tuple[Any, ...]], weights: Sequence[np.ndarray]
) -> Callable[..., tuple[Any, ...]]:
    """The same function of flat arrays with other `Traced.weights`."""

    def changed(*arrays: Any) -> tuple[Any, ...]:
        traced = trace(function, arrays)
        closed = _rewritten(traced.closed, dict(zip(traced.held(), weights, strict=True)))
        return tuple(_evaluate(*opened(closed), arrays, 0))

    return changed


def _functions(closed: Any) -> Iterator[tuple[Any, Sequence[Any]]]:
    """A function and all inside it, each with the arrays that it holds."""
    jaxpr, consts = opened(closed)
    yield jaxpr, consts
    for equation in jaxpr.eqns:
        for inner in inner_functions(equation):
            yield from _functions(inner)


def inner_functions(equation: Any) -> Iterator[Any]:
    """Functions that an equation calls, repeats or chooses from."""
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if _is_function(item):
                yield item


def opened(inner: Any) -> tuple[Any, Sequence[Any]]:
    """A function and the arrays that it holds."""
    return (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())


def _rewritten(inner: Any, arrays: Mapping[int, np.ndarray]) -> Any:
    """A function with other arrays in the place of those of some identities, inside inner functions too."""
    jaxpr, consts = opened(inner)
    equations = [
        equation.replace(params={name: _rewritten_in(value, arrays) for name, value in equation.params.items()})
        for equation in jaxpr.eqns
    ]
    new = jaxpr.replace(eqns=equations)
    held = [arrays.get(id(array), array) for array in consts]
    return inner.replace(jaxpr=new, consts=held) if hasattr(inner, "consts") else new


def _rewritten_in(value: Any, arrays: Mapping[int, np.ndarray]) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_rewritten_in(item, arrays) for item in value) if any(map(_is_function, value)) else value
    return _rewritten(value, arrays) if _is_function(value) else value


def _live(jaxpr: Any, consts: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """A function without what no result depends on: random keys of a dropout that is off, which no format holds."""
    needed = {var for var in jaxpr.outvars if not hasattr(var, "val")}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not needed.isdisjoint(equation.outvars):
            kept.append(equation)
            needed.update(var for var in equation.invars if not hasattr(var, "val"))
    pairs = [(var, array) for var, array in zip(jaxpr.constvars, consts, strict=True) if var in needed]
    new = jaxpr.replace(eqns=kept[::-1], constvars=[var for var, _ in pairs], debug_info=jaxpr.debug_info)
    return new, [array for _, array in pairs]


def _is_function(item: Any) -> bool:
    return hasattr(item, "eqns")


def _is_weight(array: Any) -> bool:
    dtype = getattr(array, "dtype", None)
    if not isinstance(dtype, np.dtype) or not array.shape:
        return False
    return dtype.kind in "fcV" or (dtype.kind in "iu" and dtype.itemsize == 1)  # V: bfloat16 and the like


def _is_short(equation: Any, most_steps: int) -> bool:
    steps = equation.params.get("length")
    return equation.primitive.name == "scan" and isinstance(steps, int) and steps <= most_steps


def _evaluate(
    jaxpr: Any, consts: Sequence[Any], arrays: Sequence[Any], most_steps: int, watching: _Watching | None = None
) -> list[Any]:
    """Compute each equation in turn, short loops in place; calls too, where one holds such a loop or all is watched."""
    values: dict[Any, Any] = {}

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else values[atom]

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arrays, strict=True))
    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        found = _compute(equation, operands, most_steps) if watching is None else _show(equation, operands, watching)
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _compute(equation: Any, operands: list[Any], most_steps: int) -> Sequence[Any]:
    primitive = equation.primitive
    if _is_short(equation, most_steps):
        return _steps(equation.params, operands, most_steps)
    if primitive.name in CALLS:
        for inner in inner_functions(equation):
            if _holds_short_loop(inner, most_steps):
                return _evaluate(*opened(inner), operands, most_steps)
    return compute(equation, operands)


def compute(equation: Any, operands: Sequence[Any]) -> Sequence[Any]:
    """What one equation gives for its operands."""
    given = equation.primitive.get_bind_params(equation.params)
    functions, params = given if isinstance(given, tuple) else ((), given)  # a pair in older versions of JAX
    result = equation.primitive.bind(*functions, *operands, **params)
    return result if equation.primitive.multiple_results else [result]


def _show(equation: Any, operands: list[Any], watching: _Watching) -> Sequence[Any]:
    inner = next(inner_functions(equation), None) if equation.primitive.name in CALLS else None
    if inner is not None:
        with watching.inside(equation):
            return _evaluate(*opened(inner), operands, 0, watching)
    found = _compute(equation, operands, 0)
    watching.show(equation, found)
    return found


def _holds_short_loop(inner: Any, most_steps: int) -> bool:
    return any(_is_short(equation, most_steps) for jaxpr, _ in _functions(inner) for equation in jaxpr.eqns)


def _steps(params: Mapping[str, Any], operands: Sequence[Any], most_steps: int) -> list[Any]:
    """``jax.lax.scan`` step by step; its operands are constants, what is carried, and what is scanned."""
    from jax import lax
    from jax import numpy as jnp

    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, scanned = operands[:first], operands[first:second], operands[second:]
    jaxpr, held = opened(params["jaxpr"])
    steps = range(params["length"])
    rows: dict[int, Sequence[Any]] = {}
    for step in reversed(steps) if params["reverse"] else steps:
        slices = [lax.index_in_dim(array, step, 0, keepdims=False) for array in scanned]
        found = _evaluate(jaxpr, held, [*consts, *carry, *slices], most_steps)
        carry, rows[step] = found[: len(carry)], found[len(carry) :]
    return [*carry, *(jnp.stack(column) for column in zip(*(rows[step] for step in steps), strict=True))]


def _follow(jaxpr: Any, origins: dict[Any, int], limits: dict[int, int]) -> list[int | None]:
    """Follow inputs to gathers.

    Args:
        jaxpr: a function.
        origins: position of the source's input by variable, for those that hold nothing but its elements.
        limits: found so far; changed in place.

    Returns:
        The same for each output.
    """

    def origin(atom: Any) -> int | None:
        return None if hasattr(atom, "val") else origins.get(atom)

    for equation in jaxpr.eqns:
        name, known = equation.primitive.name, [origin(atom) for atom in equation.invars]
        sources = [source for source in known if source is not None]
        if name in CALLS:
            for inner in inner_functions(equation):
                body, _ = opened(inner)
                inside = zip(body.invars, known, strict=True)
                found = _follow(body, {var: source for var, source in inside if source is not None}, limits)
                origins.update(
                    (var, source) for var, source in zip(equation.outvars, found, strict=True) if source is not None
                )
        elif name in _KEEPS_INDICES and sources:
            origins[equation.outvars[0]] = sources[-1]
        elif name == "gather" and known[1] is not None and known[0] is None:
            axes = equation.params["dimension_numbers"].start_index_map
            length = equation.invars[0].aval.shape[axes[0]]
            if len(axes) == 1 and isinstance(length, int):
                limits[known[1]] = min(length, limits.get(known[1], length))
    return [origin(atom) for atom in jaxpr.outvars]
