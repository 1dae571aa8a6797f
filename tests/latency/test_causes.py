"""The reason why an artifact is not faster: the surest that the engine's own operators support."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.latency.causes import Facts, likely_cause
from edgekit.latency.measured import Measured
from edgekit.runtimes.execution import CONVERSION, LAYOUT, OTHER, PRODUCT, Execution, OperatorGroup
from edgekit.types import Effective, Reading
from tests.latency.made import MACHINE, measured, opening, speeds

INFERRED = Effective(Reading("i8+f32", "inferred"), Reading("CPU", "engine"))
PARENT = measured(speeds(4.0, seed=1))
CHILD = measured(speeds(5.0, seed=2), opening(effective=INFERRED))


def ran(*groups: tuple[str, str, str, int, float | None], unit: str = "") -> Execution:
    """Kind, role, format, count and share of the time of each group."""
    made = tuple(OperatorGroup(kind, role, form, unit, count, share) for kind, role, form, count, share in groups)
    return Execution(made, all(group.share is not None for group in made))


INTEGER = ran(("QLinearConv", PRODUCT, "i8", 5, 0.7), ("Softmax", OTHER, "f32", 1, 0.3))


def cause(child: Execution | None, precision: str = "int8", *, measured: Measured = CHILD, **facts: object) -> str:
    return likely_cause(PARENT, measured, precision, Facts(child=child, **facts))  # type: ignore[arg-type]  # by name


def test_pairs_that_the_engine_did_not_fuse() -> None:
    words = cause(
        ran(
            ("DequantizeLinear", CONVERSION, "i8", 4, 0.6),
            ("QuantizeLinear", CONVERSION, "f32", 2, 0.1),
            ("QLinearConv", PRODUCT, "i8", 3, 0.3),
        )
    )
    assert (
        words == "the engine did not fuse 4 DequantizeLinear and 2 QuantizeLinear, which took 70% of the profiled time."
    )


def test_nothing_in_integers_at_all() -> None:
    words = cause(ran(("Conv", PRODUCT, "f32", 3, 0.5), ("DequantizeLinear", CONVERSION, "i8", 6, 0.5)))
    assert words == (
        "the engine computed all 3 convolutions and products in f32, not in 8-bit integers, "
        "with 6 unfused quantize and dequantize operators around them."
    )


def test_weights_that_are_expanded_each_time() -> None:
    groups = ran(("DequantizeLinear", CONVERSION, "i8", 2, 0.6), ("Gemm", PRODUCT, "f32", 2, 0.4))
    assert "expands the weights at each inference: 2 DequantizeLinear took 60%" in cause(groups, "int8-weights")


def test_products_left_in_float() -> None:
    groups = ran(("Convolution", PRODUCT, "i8", 4, 0.4), ("MatMul", PRODUCT, "f32", 6, 0.6))
    assert cause(groups, low_bit_macs=0.41) == (
        "6 of 10 convolutions and products are computed in f32, which took 60% of the profiled time; "
        "41% of the multiply-accumulates are in 8 bits."
    )


def test_a_few_cheap_products_in_float_are_no_reason() -> None:
    groups = ran(("Convolution", PRODUCT, "i8", 9, 0.9), ("MatMul", PRODUCT, "f32", 1, 0.1))
    assert "nothing that was measured explains it" in cause(groups, low_bit_macs=0.97)


def test_few_multiply_accumulates_in_few_bits() -> None:
    assert cause(INTEGER, low_bit_macs=0.3) == "only 30% of the multiply-accumulates are in 8 bits."


def test_operators_that_xnnpack_leaves_out_in_integers_alone() -> None:
    built_in = ran(("HARD_SWISH", OTHER, "i8", 19, None), ("GATHER", OTHER, "i8", 1, None), unit="built-in")
    child = Execution(
        (*ran(("CONV_2D", PRODUCT, "i8", 50, None), unit="XNNPACK").operators, *built_in.operators), False
    )
    parent = ran(("GATHER", OTHER, "f32", 1, None), unit="built-in")
    words = cause(child, parent=parent)
    assert "XNNPACK leaves 19 HARD_SWISH to the engine's built-in kernels" in words
    assert "GATHER" not in words, "the parent has that too"
    assert "inferred" in words


def test_time_that_goes_elsewhere() -> None:
    groups = ran(
        ("Softmax", OTHER, "f32", 1, 0.45), ("Reorder", LAYOUT, "i8", 2, 0.2), ("Conv", PRODUCT, "i8", 1, 0.35)
    )
    assert cause(groups) == (
        "65% of the profiled time goes into operators that fewer bits do not speed up: Softmax 45 %, Reorder 20 %."
    )


def test_memory_that_is_asked_for_again_and_again() -> None:
    faulting = measured(speeds(5.0, seed=2), opening(effective=INFERRED, page_faults_per_inference=5336.0))
    assert "5,336 page faults" in cause(INTEGER, measured=faulting)


def test_halves_that_the_engine_widens() -> None:
    groups = ran(("Conv", PRODUCT, "f32", 3, 0.8), ("Cast", CONVERSION, "f16", 2, 0.2))
    assert "halves save space here" in cause(groups, "fp16")


@pytest.mark.parametrize("low_bit_macs", [None, 0.95])
def test_what_nothing_explains_is_not_explained(low_bit_macs: float | None) -> None:
    assert "nothing that was measured explains it" in cause(INTEGER, low_bit_macs=low_bit_macs)


def test_the_surest_reason_comes_first() -> None:
    old = measured(speeds(5.0), opening(effective=INFERRED, environment=replace(MACHINE, features=("avx2",))))
    assert "no VNNI" in cause(ran(("Conv", PRODUCT, "i8", 1, 0.5), ("Cast", CONVERSION, "f32", 1, 0.5)), measured=old)
