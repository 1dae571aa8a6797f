"""Which layers of a source an operator computes, by tensors that were matched and by names."""

from __future__ import annotations

import numpy as np

from edgekit.attribution.origins import placed
from edgekit.parity.layers import Layer, Match
from edgekit.surgery.base import Graph, Operator

GRAPH = Graph(
    (
        Operator("turn", "Transpose", ("x",), ("t",)),
        Operator("node_1", "Conv", ("t",), ("c",)),
        Operator("node_2", "Relu", ("c",), ("r",)),
        Operator("block/dense/MatMul", "MatMul", ("r",), ("m",)),
        Operator("back", "Transpose", ("m",), ("y",)),
    ),
    ("x",),
    ("y",),
    {},
)


def matched(layer: str, tensor: str | None, kind: str = "Layer") -> Match:
    found = Layer(layer, kind, np.zeros((1, 1), np.float32), 0.0)
    return Match(found, tensor, None, None, None, good=tensor is not None)


def test_layers_are_where_their_tensor_or_their_name_is() -> None:
    found = placed(GRAPH, [matched("conv", "c"), matched("relu", "r"), matched("block/dense", None)])
    assert found.computed == {"node_1": ("conv",), "node_2": ("relu",), "block/dense/MatMul": ("block/dense",)}


def test_a_layer_without_a_tensor_was_fused_into_the_next() -> None:
    found = placed(GRAPH, [matched("conv", None), matched("norm", "c"), matched("relu", "r")])
    assert found.computed["node_1"] == ("conv", "norm")


def test_an_input_is_no_layer() -> None:
    assert placed(GRAPH, [matched("image", None, "InputLayer"), matched("conv", "c")]).computed == {"node_1": ("conv",)}


def test_an_operator_without_a_layer_serves_the_next_that_has_one() -> None:
    found = placed(GRAPH, [matched("conv", "c")])
    assert found.served["turn"] == ("conv",)
    assert found.served["back"] == (), "nothing comes behind it"
