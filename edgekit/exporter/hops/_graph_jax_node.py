"""One operator of an ONNX graph that runs on JAX, and the memory of transpositions that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.errors import ModelError

#: One operator: from its inputs (None for one that is left out) to its output or outputs.
Operator = Callable[["Node", list[Any]], Any]


class Layout:
    """Remembers which arrays are transpositions of others."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any, tuple[int, ...]]] = {}  # keeps the array: an id must not be used again

    def source(self, value: Any) -> tuple[Any, tuple[int, ...]] | None:
        """What a value is a transposition of, and by which order of axes."""
        found = self._made.get(id(value))
        return None if found is None else found[1:]

    def transpose(self, value: Any, order: Sequence[int]) -> Any:
        """A transposition, which undoes an earlier one where it can."""
        import jax.numpy as jnp

        if isinstance(value, np.ndarray):
            return value.transpose(order)
        inner, before = self.source(value) or (value, tuple(range(value.ndim)))
        whole = tuple(before[axis] for axis in order)
        if whole == tuple(range(value.ndim)):
            return inner
        made = jnp.transpose(inner, whole)
        self._made[id(made)] = (made, inner, whole)
        return made

    def to_last(self, value: Any) -> Any:
        """``(batch, channel, …)`` to ``(batch, …, channel)``."""
        return self.transpose(value, (0, *range(2, value.ndim), 1))

    def to_first(self, value: Any) -> Any:
        """``(batch, …, channel)`` to ``(batch, channel, …)``."""
        return self.transpose(value, (0, value.ndim - 1, *range(1, value.ndim - 1)))


@dataclass(frozen=True)
class Node:
    """One operator of the graph.

    Attributes:
        kind: such as ``Conv``.
        name: of the node, or of its first output.
        outputs: how many it has.
        opset: version of the operator set that gives it its meaning.
        attributes: by name; texts are decoded, tensors are numpy arrays.
        layout: of the whole graph.
        outer: values of the graph around this one, for the bodies of branches.
    """

    kind: str
    name: str
    outputs: int
    opset: int
    attributes: Mapping[str, Any]
    layout: Layout = field(repr=False)
    outer: Mapping[str, Any] = field(repr=False)

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def unsupported(self, why: str = "") -> ModelError:
        """The refusal of this operator."""
        return ModelError(
            "unsupported-operator",
            f"this converter does not take {self.kind}{' with ' + why if why else ''} from ONNX.",
            received=f"operator {self.kind}, node {self.name}",
            hint="Choose another --route, or another --target.",
        )

    def fixed(self, value: Any, what: str) -> np.ndarray:
        """An input that must not depend on the model's inputs.

        Raises:
            ModelError: it does.
        """
        if not isinstance(value, np.ndarray):
            raise self.unsupported(f"{what} that depend on the inputs")
        return value

    def axes(self, x: list[Any], index: int) -> list[int] | None:
        """Axes from an input, or in older operator sets from the attribute; None where neither is there."""
        if len(x) > index and x[index] is not None:
            return [int(axis) for axis in np.atleast_1d(self.fixed(x[index], "axes"))]
        found = self.get("axes")
        return None if found is None else list(found)
