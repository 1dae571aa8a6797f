"""A recipe names what stays float: operators, source layers, types and patterns; an unknown name is refused."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.quantizer.methods.scope import resolve

OPERATORS = (
    ("stem/Conv", "Conv"),
    ("block/conv2d_3/Conv", "Conv"),
    ("block/conv2d_30/Conv", "Conv"),
    ("block/conv2d_3/Relu", "Relu"),
    ("head/MatMul", "MatMul"),
    ("net/bn_1/batch;net/pool_1/AvgPool", "AVERAGE_POOL_2D"),
    ("torch.nn.Sequential/keras.Scope_tail/odd[0].name", "FULLY_CONNECTED"),
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("stem/Conv", ["stem/Conv"]),
        ("stem", ["stem/Conv"]),
        ("conv2d_3", ["block/conv2d_3/Conv", "block/conv2d_3/Relu"]),
        ("block/conv2d_3/", ["block/conv2d_3/Conv", "block/conv2d_3/Relu"]),
        ("block", ["block/conv2d_3/Conv", "block/conv2d_30/Conv", "block/conv2d_3/Relu"]),
        ("conv2d_3*", ["block/conv2d_3/Conv", "block/conv2d_30/Conv", "block/conv2d_3/Relu"]),
        ("*/Conv", ["stem/Conv", "block/conv2d_3/Conv", "block/conv2d_30/Conv"]),
        ("type:conv", ["stem/Conv", "block/conv2d_3/Conv", "block/conv2d_30/Conv"]),
        ("type:FullyConnected", ["torch.nn.Sequential/keras.Scope_tail/odd[0].name"]),
        ("type:*Pool*", ["net/bn_1/batch;net/pool_1/AvgPool"]),
        ("pool_1", ["net/bn_1/batch;net/pool_1/AvgPool"]),
        ("net/pool_1/AvgPool", ["net/bn_1/batch;net/pool_1/AvgPool"]),
        ("tail", ["torch.nn.Sequential/keras.Scope_tail/odd[0].name"]),
        ("odd[0].name", ["torch.nn.Sequential/keras.Scope_tail/odd[0].name"]),
    ],
)
def test_what_a_name_means(wanted: str, expected: list[str]) -> None:
    assert list(resolve([wanted], OPERATORS)) == expected


def test_several_names_give_each_operator_once_in_order() -> None:
    assert resolve(["type:MatMul", "conv2d_30", "block/conv2d_30/Conv"], OPERATORS) == (
        "block/conv2d_30/Conv",
        "head/MatMul",
    )


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("conv2d_4", "conv2d_3"), ("type:MatMull", "type:MatMul"), ("head/Matmul", "head/MatMul"), ("zzz", "stem/Conv")],
)
def test_an_unknown_name_is_refused_with_what_is_near(wanted: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(["stem", wanted], OPERATORS)
    assert caught.value.code == "unknown-layer"
    assert caught.value.received == wanted
    assert near in str(caught.value.hint)


def test_operators_of_outputs_are_meant_by_their_role() -> None:
    assert resolve(["role:output"], OPERATORS, ["head/MatMul"]) == ("head/MatMul",)
    assert resolve(["stem", "role:output"], OPERATORS, ["head/MatMul"]) == ("stem/Conv", "head/MatMul")


def test_where_outputs_are_float_anyway_the_role_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(["role:output"], OPERATORS)
    assert caught.value.code == "outputs-are-float"
