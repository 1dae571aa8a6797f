"""Matching layers with tensors by value, and following a fault back to its operator."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.parity.layers import Layer, arranged, blame, match
from edgekit.surgery.base import Graph, Operator

RANDOM = np.random.default_rng(3)


def values(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=(4, *shape)).astype(np.float32)


def layer(name: str, array: np.ndarray, floor: float = 1e-6) -> Layer:
    return Layer(name, "Any", array, floor)


def graph(*operators: tuple[str, str, str]) -> Graph:
    """Operators as ``name, inputs, outputs``, tensors separated by blanks; the last one gives the output."""
    made = tuple(
        Operator(name, "Any", tuple(reads.split()), tuple(writes.split())) for name, reads, writes in operators
    )
    return Graph(made, ("x",), made[-1].outputs, {})


@pytest.mark.parametrize(
    ("shape", "axes", "other"),
    [
        ((8, 6, 3), (2, 0, 1), (3, 8, 6)),
        ((1, 8, 6, 3), (2, 0, 1), (1, 3, 8, 6)),
        ((5, 7), (1, 0), (7, 5)),
        ((5, 1, 7), (), (5, 7)),
        ((4, 6), (), (24,)),
    ],
)
def test_a_layer_is_found_in_any_layout(shape: tuple[int, ...], axes: tuple[int, ...], other: tuple[int, ...]) -> None:
    wanted = values(*shape)
    held = arranged(wanted, axes, (4, *other)) + np.float32(1e-7)
    (found,) = match([layer("a", wanted)], {"noise": values(*other), "held": held})
    assert (found.tensor, found.good, found.axes) == ("held", True, axes)
    assert found.sqnr_db is not None
    assert found.sqnr_db > 100


def test_a_square_layer_is_found_transposed() -> None:
    wanted = values(6, 6)
    (found,) = match([layer("a", wanted)], {"held": wanted.transpose(0, 2, 1).copy()})
    assert found.good
    assert found.axes == (1, 0)


def test_a_faulty_tensor_is_still_the_layers_own() -> None:
    wanted = values(9)
    (found,) = match([layer("a", wanted)], {"noise": values(9), "own": wanted * np.float32(1.01)})
    assert found.tensor == "own"
    assert not found.good
    assert found.sqnr_db == pytest.approx(40, abs=3)


def test_what_is_far_off_is_no_match() -> None:
    (found,) = match([layer("a", values(9))], {"noise": values(9), "nan": np.full((4, 9), np.nan, np.float32)})
    assert found.tensor is None
    assert not found.good


def test_a_quantized_tensor_is_judged_by_its_precision() -> None:
    wanted = values(50)
    rough = wanted + 0.05 * values(50)
    assert match([layer("a", wanted)], {"own": rough}, "int8")[0].good
    assert not match([layer("a", wanted)], {"own": rough}, "fp16")[0].good


CHAIN = graph(("a/Conv", "x", "t1"), ("b/Conv", "t1", "t2"), ("c/Gemm", "t2", "y"))


def chain(fault: int) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """Three layers in a row; from the fault on, tensors are wrong."""
    arrays = [values(6), values(7), values(8)]
    layers = [layer(name, array) for name, array in zip("abc", arrays, strict=True)]
    wrong = [array * np.float32(1.1) if index >= fault else array for index, array in enumerate(arrays)]
    return layers, dict(zip(("t1", "t2", "y"), wrong, strict=True))


@pytest.mark.parametrize("fault", [0, 1, 2])
def test_the_first_wrong_layer_of_a_chain_is_to_blame(fault: int) -> None:
    layers, tensors = chain(fault)
    culprit = blame(CHAIN, match(layers, tensors))
    assert culprit is not None
    assert culprit.layer == "abc"[fault]
    assert culprit.operator.name[0] == "abc"[fault]


def test_nobody_is_to_blame_for_what_is_right() -> None:
    layers, tensors = chain(3)
    assert blame(CHAIN, match(layers, tensors)) is None


def test_what_was_folded_into_a_right_layer_is_innocent() -> None:
    layers, tensors = chain(1)
    folded = layer("norm", values(6))
    culprit = blame(CHAIN, match([folded, *layers], tensors))
    assert culprit is not None
    assert culprit.layer == "b"


def test_a_fault_in_a_fused_group_names_the_group() -> None:
    folded = graph(("conv/Conv", "x", "t1"), ("head/Gemm", "t1", "y"))
    conv, norm, head = values(6), values(6), values(3)
    layers = [layer("conv", conv), layer("norm", norm), layer("head", head)]
    culprit = blame(folded, match(layers, {"t1": norm * np.float32(1.1), "y": head * np.float32(1.1)}))
    assert culprit is not None
    assert culprit.operator.name == "conv/Conv"
    assert culprit.layer == "conv"


def test_another_branch_that_is_right_does_not_excuse_a_wrong_one() -> None:
    """The wrong branch runs first, the right one after it."""
    two = graph(("left/Gemm", "x", "l"), ("right/Gemm", "x", "r"), ("sum/Add", "l r", "y"))
    left, right, total = values(6), values(6), values(6)
    layers = [layer("left", left), layer("right", right), layer("sum", total)]
    tensors = {"l": left * np.float32(1.2), "r": right, "y": total * np.float32(1.1)}
    culprit = blame(two, match(layers, tensors))
    assert culprit is not None
    assert (culprit.layer, culprit.operator.name) == ("left", "left/Gemm")


def test_a_transpose_before_the_fault_is_not_the_operator_to_blame() -> None:
    moved = Operator("a/Transpose", "Transpose", ("x",), ("t0",))
    faulty = Operator("a/Conv", "Conv", ("t0",), ("y",))
    layers, wrong = [layer("a", values(6))], {}
    wrong["y"] = layers[0].values * np.float32(1.1)
    culprit = blame(Graph((moved, faulty), ("x",), ("y",), {}), match(layers, wrong))
    assert culprit is not None
    assert culprit.operator.name == "a/Conv"


def test_without_names_the_first_layer_without_a_right_tensor_is_to_blame() -> None:
    layers, tensors = chain(1)
    nameless = graph(("op1", "x", "t1"), ("op2", "t1", "t2"), ("op3", "t2", "y"))
    culprit = blame(nameless, match(layers, tensors))
    assert culprit is not None
    assert (culprit.layer, culprit.operator.name) == ("b", "op2")


def test_a_far_off_tensor_of_an_operator_of_the_same_name_is_the_layers_own() -> None:
    """A quantizer keeps the names of what it was given."""
    wanted = values(9)
    tensors = {"noise": values(9), "own": -wanted}
    assert match([layer("a/Conv", wanted)], tensors, "int8")[0].tensor is None
    (found,) = match([layer("a/Conv", wanted)], tensors, "int8", {"noise": "b/Conv", "own": "a/Conv"})
    assert (found.tensor, found.good) == ("own", False)
    assert found.sqnr_db == pytest.approx(-6.0, abs=0.5)


def test_values_that_were_quantized_and_back_are_right_too() -> None:
    """The quantizer before a wrong operator is not to blame."""
    before, after = values(6), values(6)
    pair = graph(("a/Relu", "x", "t1"), ("a/Relu/quantized", "t1", "t2"), ("b/Conv", "t2", "y"))
    tensors = {"t1": before, "t2": before + np.float32(0.01) * values(6), "y": after * np.float32(1.5)}
    matches = match([layer("a", before), layer("b", after)], tensors, "int8", {"y": "b"})
    assert matches[0].also == ("t2",)
    culprit = blame(pair, matches)
    assert culprit is not None
    assert culprit.operator.name == "b/Conv"


def test_a_layer_whose_loop_was_unrolled_is_found_step_by_step() -> None:
    """All steps of the first are right, so that the second is to blame; no tensor holds the first as a whole."""
    first, second = values(3, 6), values(5)
    unrolled = graph(
        *((f"first/step{index}", "x" if index == 0 else f"s{index - 1}", f"s{index}") for index in range(3)),
        ("second/MatMul", "s0 s1 s2", "y"),
    )
    steps = {f"s{index}": first[:, index].copy() for index in range(3)}
    matches = match([layer("first", first), layer("second", second)], {**steps, "y": second * np.float32(1.1)})
    assert matches[0].tensor is None
    assert matches[0].also == ("s0", "s1", "s2")
    culprit = blame(unrolled, matches)
    assert culprit is not None
    assert (culprit.layer, culprit.operator.name, culprit.fused) == ("second", "second/MatMul", ())


def test_a_layer_of_which_one_step_is_wrong_is_not_excused_by_the_others() -> None:
    first = values(3, 6)
    unrolled = graph(
        *((f"first/step{index}", "x" if index == 0 else f"s{index - 1}", f"s{index}") for index in range(3)),
        ("second/MatMul", "s0 s1 s2", "y"),
    )
    steps = {f"s{index}": first[:, index] * np.float32(1.2 if index == 2 else 1.0) for index in range(3)}
    layers = [layer("first", first), layer("second", values(5))]
    culprit = blame(unrolled, match(layers, {**steps, "y": layers[1].values * np.float32(1.1)}))
    assert culprit is not None
    assert culprit.layer == "first"


def test_a_first_layer_that_was_fused_is_excused_by_a_right_one_behind_it() -> None:
    first, second, last = values(9), values(9), values(9)
    nameless = graph(("op_0", "x", "t0"), ("op_1", "t0", "y"))
    layers = [layer("stem/conv", first), layer("stem/norm", second), layer("head", last)]
    culprit = blame(nameless, match(layers, {"t0": second, "y": last * np.float32(1.1)}))
    assert culprit is not None
    assert (culprit.operator.name, culprit.layer) == ("op_1", "head")


def test_what_moves_values_is_to_blame_itself_where_its_result_is_wrong() -> None:
    first, last = values(9), values(9)
    moved, computed = Operator("move", "Identity", ("t0",), ("t1",)), Operator("head", "Any", ("t1",), ("y",))
    before = Operator("stem", "Any", ("x",), ("t0",))
    layers = [layer("stem", first), layer("clip", last), layer("head", last * 2)]
    tensors = {"t0": first, "t1": last * np.float32(1.1), "y": last**3}
    culprit = blame(Graph((before, moved, computed), ("x",), ("y",), {}), match(layers, tensors))
    assert culprit is not None
    assert (culprit.operator.name, culprit.layer) == ("move", "clip")
