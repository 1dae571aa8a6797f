"""Which operators of a file an engine's operator stands for."""

from __future__ import annotations

import pytest

from edgekit.latency.bisection import refined
from edgekit.latency.members import members_of
from edgekit.runtimes.profile import EngineOperator
from edgekit.surgery.base import Graph, Operator


def chain(*operators: tuple[str, str]) -> Graph:
    """Operators one after another, as ``name, kind``; each computes a tensor with its name behind ``t:``."""
    made = []
    before = "x"
    for name, kind in operators:
        made.append(Operator(name, kind, (before,), (f"t:{name}",)))
        before = f"t:{name}"
    return Graph(tuple(made), ("x",), (before,), {})


def ran(kind: str, *parts: str) -> EngineOperator:
    return EngineOperator(parts[0] if parts else kind, kind, parts, "f32", "CPU", 1.0)


NETWORK = chain(("conv", "Conv"), ("relu", "Relu"), ("conv_1", "Conv"), ("relu_1", "Relu"), ("end", "Softmax"))


def test_what_an_engine_lists_is_taken_over() -> None:
    executed = [ran("Convolution", "conv", "relu"), ran("Convolution", "conv_1", "relu_1"), ran("Softmax", "end")]
    assert members_of(executed, NETWORK) == (("conv", "relu"), ("conv_1", "relu_1"), ("end",))


def test_an_operator_that_kept_the_name_of_its_first_part_swallows_what_follows() -> None:
    executed = [ran("FusedConv", "conv_token_0"), ran("FusedConv", "conv_1_token_3"), ran("Softmax", "end")]
    assert members_of(executed, NETWORK) == (("conv", "relu"), ("conv_1", "relu_1"), ("end",))


def test_an_operator_that_kept_the_name_of_its_last_part_swallows_the_product_before() -> None:
    executed = [ran("Conv", "t:relu_nchwc"), ran("Conv", "t:relu_1_nchwc"), ran("Softmax", "end")]
    assert members_of(executed, NETWORK) == (("conv", "relu"), ("conv_1", "relu_1"), ("end",))


def test_an_operator_under_a_new_name_is_known_by_its_kind() -> None:
    executed = [ran("Conv", "conv"), ran("Conv", "conv_1"), ran("Softmax", "Softmax_977")]
    assert members_of(executed, NETWORK)[-1] == ("end",)


def test_what_an_engine_adds_stands_for_nothing() -> None:
    executed = [ran("Conv", "conv"), ran("Reorder", "ReorderOutput"), ran("Conv", "conv_1"), ran("Softmax", "end")]
    assert members_of(executed, NETWORK)[1] == ()


def test_dequantizing_goes_with_what_comes_next() -> None:
    graph = chain(("q", "QuantizeLinear"), ("d", "DequantizeLinear"), ("conv", "Conv"), ("q2", "QuantizeLinear"))
    assert members_of([ran("QuantizeLinear", "q"), ran("QLinearConv", "conv_token_0")], graph) == (
        ("q",),
        ("d", "conv", "q2"),
    )


def test_the_longest_parts_are_halved_first() -> None:
    assert refined([10, 20], [90.0, 100.0], 4) == [2, 5, 10, 20]


@pytest.mark.parametrize("most", [3, 64])
def test_a_bisection_ends_with_single_operators_or_with_as_many_parts_as_allowed(most: int) -> None:
    found = refined([4, 8], [5.0, 9.0], most)
    assert found == (list(range(1, 9)) if most == 64 else [2, 4, 8])
