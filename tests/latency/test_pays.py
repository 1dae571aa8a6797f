"""Whether quantization paid, and a reason that the measurement supports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.errors import ModelError
from edgekit.latency.measured import Measured
from edgekit.latency.pays import pays
from edgekit.runtimes.base import OpenOptions
from edgekit.types import Effective, Reading
from tests.latency.made import MACHINE, measured, opening, speeds

INT8 = Effective(Reading("i8+f32", "engine"), Reading("CPU", "engine"))
BF16 = Effective(Reading("bf16", "engine"), Reading("CPU", "engine"))
CHILD = opening(effective=INT8)
PARENT = measured(speeds(4.0, seed=1))


def test_twice_as_fast_pays() -> None:
    answer = pays(PARENT, measured(speeds(2.0, seed=2), CHILD), device="local", precision="int8")
    assert (answer.device, answer.answer, answer.likely_reason) == ("local", "yes", None)
    assert answer.speedup == pytest.approx(2.0, rel=0.05)
    assert answer.ci95 is not None
    assert answer.ci95[0] > 1.8


def test_the_same_speed_is_not_shown_to_pay() -> None:
    answer = pays(PARENT, measured(speeds(4.0, seed=3), CHILD), device="local", precision="int8")
    assert answer.answer == "not shown"
    assert answer.likely_reason is not None
    assert "too little to tell" not in answer.likely_reason


def test_a_wide_interval_is_its_own_reason() -> None:
    child = measured(speeds(3.9, 4, spread=0.3, seed=3), CHILD)
    answer = pays(PARENT, child, device="local", precision="int8")
    assert answer.answer == "not shown"
    assert answer.likely_reason is not None
    assert "too little to tell" in answer.likely_reason


@pytest.mark.parametrize(
    ("parent", "child", "precision", "words"),
    [
        (measured(speeds(0.02)), measured(speeds(0.03), CHILD), "int8", "fixed cost of a call"),
        (PARENT, measured(speeds(5.0), opening()), "int8", "computed in f32, not in 8-bit integers"),
        (measured(speeds(4.0), opening(effective=BF16)), measured(speeds(5.0), CHILD), "int8", "already ran in bf16"),
        (
            PARENT,
            measured(speeds(5.0), replace(CHILD, environment=replace(MACHINE, features=("avx2",)))),
            "int8",
            "no VNNI instructions",
        ),
        (
            PARENT,
            measured(
                speeds(5.0), replace(CHILD, environment=replace(MACHINE, architecture="aarch64", features=("asimd",)))
            ),
            "int8-dynamic",
            "no dot product instructions",
        ),
        (PARENT, measured(speeds(5.0), CHILD), "int8", "nothing that was measured explains it"),
        (PARENT, measured(speeds(5.0), CHILD), "int8-weights", "only the weights are small"),
        (PARENT, measured(speeds(5.0), opening()), "fp16", "halves save space here"),
    ],
)
def test_a_slower_artifact_does_not_pay_for_a_likely_reason(
    parent: Measured, child: Measured, precision: str, words: str
) -> None:
    answer = pays(parent, child, device="local", precision=precision)
    assert answer.answer == "no"
    assert answer.likely_reason is not None
    assert words in answer.likely_reason


def test_an_unknown_cpu_is_not_blamed() -> None:
    unknown = replace(CHILD, environment=replace(MACHINE, features=()))
    answer = pays(PARENT, measured(speeds(5.0), unknown), device="local", precision="int8")
    assert answer.likely_reason is not None
    assert "CPU" not in answer.likely_reason


@pytest.mark.parametrize(
    ("child", "words"),
    [
        (measured([], error=ModelError("unloadable-artifact", "the engine refuses the file.", hint="x")), "refuses"),
        (measured(speeds(2.0), opening(environment=replace(MACHINE, emulated=True))), "emulated"),
        (measured(speeds(2.0), CHILD, rounds=tuple(range(20, 28))), "no two rounds of both"),
        (measured(speeds(2.0), CHILD, batch=4), "batch differs"),
    ],
)
def test_what_was_not_timed_together_shows_nothing(child: Measured, words: str) -> None:
    answer = pays(PARENT, child, device="local", precision="int8")
    assert (answer.answer, answer.speedup, answer.ci95) == ("not shown", None, None)
    assert answer.likely_reason is not None
    assert words in answer.likely_reason


def test_only_common_rounds_are_compared() -> None:
    child = measured([*speeds(2.0, 8), *speeds(40.0, 4)], CHILD)
    answer = pays(PARENT, child, device="local", precision="int8")
    assert answer.speedup == pytest.approx(2.0, rel=0.05)


def sized(size: int, peak_mb: int, p50_ms: float, seed: int) -> Measured:
    one = opening(effective=INT8, peak_rss_bytes=(60 + peak_mb) << 20)
    made = measured(speeds(p50_ms, seed=seed), one)
    return replace(made, candidate=replace(made.candidate, size_bytes=size))


def test_size_and_memory_are_compared_too() -> None:
    answer = pays(sized(4000, 30, 4.0, 1), sized(1000, 20, 2.0, 2), device="local", precision="int8")
    assert (answer.size_ratio, answer.memory_ratio) == (4.0, 1.5)
    assert answer.over == "i8+f32", "what the engine computed the parent in"


def test_peaks_too_small_to_tell_give_no_ratio() -> None:
    answer = pays(sized(4000, 6, 4.0, 1), sized(1000, 1, 2.0, 2), device="local", precision="int8")
    assert (answer.size_ratio, answer.memory_ratio) == (4.0, None)


def test_the_size_is_known_where_nothing_was_timed() -> None:
    refused = replace(sized(1000, 20, 2.0, 2), openings=(), samples_ms=(), rounds=())
    answer = pays(sized(4000, 30, 4.0, 1), refused, device="local", precision="int8")
    assert (answer.answer, answer.size_ratio) == ("not shown", 4.0)


@pytest.mark.parametrize(
    ("runtime", "precision", "features", "expected"),
    [
        ("openvino", "f32", ("avx512_bf16",), "bf16"),
        ("openvino", "f32", ("avx512_vnni",), None),
        ("openvino", None, ("avx512_bf16",), None),
        ("onnxruntime", "f32", ("avx512_bf16",), None),
    ],
)
def test_a_parent_that_was_pinned_may_be_faster_left_to_itself(
    runtime: str, precision: str | None, features: tuple[str, ...], expected: str | None
) -> None:
    parent = measured(speeds(4.0, seed=1), opening(environment=replace(MACHINE, features=features)))
    candidate = replace(parent.candidate, runtime=runtime)
    parent = replace(parent, candidate=candidate, options=OpenOptions(precision=precision))
    answer = pays(parent, measured(speeds(2.0, seed=2), CHILD), device="local", precision="int8")
    assert answer.by_default == expected
