"""Which layer is named when tensors of several layers are alike."""

from __future__ import annotations

import numpy as np

from edgekit.attribution.layers import attribute
from edgekit.parity.layers import Layer
from edgekit.surgery.base import Graph, Operator

RANDOM = np.random.default_rng(5)


def values(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=(4, *shape)).astype(np.float32)


def graph(*operators: tuple[str, str, str, str]) -> Graph:
    """Operators as ``name, kind, inputs, output``; the last one gives the output."""
    made = tuple(Operator(name, kind, tuple(reads.split()), (writes,)) for name, kind, reads, writes in operators)
    return Graph(made, ("x",), made[-1].outputs, {})


def test_a_copy_of_an_earlier_layer_behind_a_wrong_one_excuses_nobody() -> None:
    """The bias is gone, so that what is quantized behind the addition is what the convolution gave."""
    chain = graph(
        ("conv/WithoutBias", "Convolution", "x", "c"),
        ("conv", "Add", "c", "a"),
        ("quantized", "FakeQuantize", "a", "q"),
        ("next", "Convolution", "q", "y"),
    )
    conv, bias, after = values(4, 6), values(1)[:1] * 5, values(7)
    layers = [
        Layer("conv/WithoutBias", "Convolution", conv, 0.0),
        Layer("conv", "Add", conv + bias, 0.0),
        Layer("next", "Convolution", after, 0.0),
    ]
    tensors = {"c": conv, "a": conv, "q": conv + np.float32(1e-3) * values(4, 6), "y": -after}
    found = attribute(layers, chain, tensors, "int8")
    assert found.culprit is not None
    assert (found.culprit.layer, found.culprit.operator.name) == ("conv", "conv")


def test_the_layer_that_adds_the_most_noise_is_named_not_the_last_straw() -> None:
    """Noise adds up: the second layer leaves 21.7 dB of its four samples, the third, which adds less, under 20."""
    chain = graph(("a", "Conv", "x", "t1"), ("b", "Conv", "t1", "t2"), ("c", "Conv", "t2", "t3"))
    clean = [values(500) for _ in range(3)]

    def noisy(index: int, decibel: float) -> np.ndarray:
        return clean[index] + np.float32(10 ** (-decibel / 20)) * values(500)

    layers = [Layer(name, "Conv", array, 0.0) for name, array in zip("abc", clean, strict=True)]
    tensors = {"t1": noisy(0, 40), "t2": noisy(1, 23), "t3": noisy(2, 20.5)}
    found = attribute(layers, chain, tensors, "int8")
    assert [one.good for one in found.rows] == [True, True, False]
    assert found.culprit is not None
    assert found.culprit.operator.name == "b"


def test_taking_the_shape_of_a_wrong_tensor_does_not_excuse_it() -> None:
    branches = graph(
        ("left", "Conv", "x", "l"),
        ("Shape_1", "Shape", "l", "s"),
        ("right", "Reshape", "x s", "r"),
        ("sum", "Add", "l r", "y"),
    )
    left, right, total = values(6), values(7), values(8)
    layers = [Layer("left", "Conv", left, 0.0), Layer("right", "Reshape", right, 0.0), Layer("sum", "Add", total, 0.0)]
    tensors = {"l": left * np.float32(1.1), "r": right, "y": total * np.float32(1.1)}
    found = attribute(layers, branches, tensors, "fp32")
    assert found.culprit is not None
    assert found.culprit.operator.name == "left"
    assert found.rows[0].good is False
