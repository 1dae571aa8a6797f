"""What the primitives of a JAX function compute, by the named scopes that they were traced in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.exporter.sources._jaxpr import Traced
from edgekit.exporter.sources._recording import Recorder

#: Primitives that only change shape, order or type: what they give is what they take.
_NO_COMPUTE = frozenset(
    {
        *("broadcast_in_dim", "convert_element_type", "copy", "reshape", "rev", "select_n", "slice", "squeeze"),
        *("stop_gradient", "transpose"),
    }
)


def run(traced: Traced, arrays: Sequence[Any], recorder: Recorder) -> list[Any]:
    """Compute a function equation by equation, inner functions in place, and record each.

    Args:
        traced: the function, traced with the shapes of the arrays.
        arrays: its inputs.
        recorder: takes what each primitive gives.
    """

    def watch(path: str, equation: Any, values: Sequence[Any]) -> None:
        kind = equation.primitive.name
        if kind not in _NO_COMPUTE:
            recorder(f"{path}/{kind}" if path else kind, kind, values)

    return traced.watched(arrays, watch)
