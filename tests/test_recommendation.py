"""What is recommended is sound first, then fast as far as speed was shown, then small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.checked import CheckRow
from edgekit.figures import ArtifactResult, BenchRow, Pays, Recommendation
from edgekit.recommendation import recommend
from edgekit.types import Verdict
from tests.report.samples import artifact, check_row, timing

Given = tuple[str, str, int, Verdict, float | None]


def chosen(*given: Given) -> Recommendation:
    """The recommendation among artifacts: target, precision, size, verdict, p50 (known to 2 %)."""
    made: list[ArtifactResult] = []
    checks: list[CheckRow] = []
    timings: list[BenchRow] = []
    for target, precision, size, verdict, p50 in given:
        row = artifact(target, precision, size, 100.0, 1.0)
        made.append(row)
        checks.append(replace(check_row(row), artifact=str(row.path), verdict=verdict))
        if p50 is not None:
            timings.append(replace(timing(row, p50), artifact=str(row.path)))
    return recommend(made, checks, timings)


def test_the_fastest_of_equal_verdicts() -> None:
    one = chosen(("onnx", "fp32", 100, "verified", 2.0), ("tflite", "fp32", 900, "verified", 1.0))
    assert one.artifact == "tflite fp32"
    assert "fastest of 2" in one.reason


def test_a_verified_artifact_before_a_faster_weak_one() -> None:
    one = chosen(("onnx", "fp32", 100, "verified", 2.0), ("onnx", "int8", 50, "weak", 1.0))
    assert one.artifact == "onnx fp32"


def test_speed_that_was_not_shown_is_no_reason() -> None:
    one = chosen(("onnx", "fp32", 100, "verified", 1.00), ("tflite", "fp32", 60, "verified", 1.01))
    assert one.artifact == "tflite fp32"
    assert "cannot be told apart from that of onnx fp32" in one.reason


def test_the_smallest_where_nothing_could_be_timed() -> None:
    one = chosen(("onnx", "fp32", 100, "weak", None), ("tflite", "fp32", 60, "weak", None))
    assert one.artifact == "tflite fp32"
    assert "only weakly verified" in one.reason


def test_times_of_an_emulated_device_do_not_count() -> None:
    made = [artifact("onnx", "fp32", 100, 100.0, 1.0), artifact("tflite", "fp32", 60, 100.0, 1.0)]
    checks = [replace(check_row(row), artifact=str(row.path), verdict="verified") for row in made]
    timings = [
        replace(timing(row, p50), artifact=str(row.path), environment={"emulated": "True"})
        for row, p50 in zip(made, (1.0, 9.0), strict=True)
    ]
    one = recommend(made, checks, timings)
    assert one.artifact == "tflite fp32"
    assert "emulated" in one.reason
    assert "p50" not in one.reason


def test_nothing_that_failed() -> None:
    bad: Sequence[Verdict] = ("failed", "error")
    assert chosen(*(("onnx", "fp32", 1, verdict, 0.1) for verdict in bad)).artifact is None


def test_nothing_that_was_not_checked() -> None:
    row = artifact("onnx", "fp32", 100, 100.0, 1.0)
    assert recommend([row], [], [replace(timing(row, 1.0), artifact=str(row.path))]).artifact is None


Timed = tuple[str, int, Verdict, float, Verdict, tuple[float, ...]]


def timed(*given: Timed) -> Recommendation:
    """The recommendation among precisions of ONNX: size, verdict, p50, the timing's verdict and interval."""
    made, checks, timings = [], [], []
    for precision, size, verdict, p50, timing_verdict, ci95 in given:
        row = artifact("onnx", precision, size, 100.0, 1.0)
        made.append(row)
        checks.append(replace(check_row(row), artifact=str(row.path), verdict=verdict))
        measured = timing(row, p50, verdict=timing_verdict)
        assert measured.latency_ms is not None
        latency = replace(measured.latency_ms, ci95_p50=ci95)
        timings.append(replace(measured, artifact=str(row.path), latency_ms=latency))
    return recommend(made, checks, timings)


def test_only_candidates_that_were_timed_are_counted() -> None:
    one = chosen(
        ("onnx", "fp32", 100, "verified", 2.0),
        ("tflite", "fp32", 900, "verified", 1.0),
        ("openvino", "fp32", 90, "verified", None),
        ("onnx", "int8", 90, "failed", 3.0),
    )
    assert "fastest of 2 (" in one.reason


def test_a_faster_one_that_was_left_out_is_named_with_its_verdict() -> None:
    weak = chosen(("onnx", "fp32", 100, "verified", 2.0), ("onnx", "int8", 50, "weak", 1.0))
    assert "onnx int8 is faster (p50 1 ms), but only weakly verified" in weak.reason
    failed = chosen(("onnx", "fp32", 100, "verified", 2.0), ("onnx", "int8", 50, "failed", 1.0))
    assert "onnx int8 is faster (p50 1 ms), but failed its check" in failed.reason
    slower = chosen(("onnx", "fp32", 100, "verified", 2.0), ("onnx", "int8", 50, "weak", 2.01))
    assert "int8" not in slower.reason


def test_a_timing_that_ended_in_an_error_is_none() -> None:
    one = timed(
        ("fp32", 100, "verified", 2.0, "verified", (1.9, 2.1)), ("int8", 50, "verified", 1.0, "error", (0.9, 1.1))
    )
    assert one.artifact == "onnx fp32"
    assert "faster" not in one.reason


def test_without_an_interval_ten_percent_are_not_told_apart() -> None:
    near = timed(("fp32", 100, "verified", 1.0, "verified", ()), ("int8", 50, "verified", 1.09, "verified", (1.0, 1.1)))
    assert near.artifact == "onnx int8"
    far = timed(("fp32", 100, "verified", 1.0, "verified", ()), ("int8", 50, "verified", 1.2, "verified", (1.1, 1.3)))
    assert far.artifact == "onnx fp32"


def test_a_weak_timing_is_said() -> None:
    one = timed(("fp32", 100, "verified", 1.0, "weak", (0.9, 1.1)))
    assert "its timing is weak, see the notes" in one.reason
    assert "timing is weak" not in timed(("fp32", 100, "verified", 1.0, "verified", (0.9, 1.1))).reason


def paired(answer: str, *, size: int = 50) -> Recommendation:
    """The recommendation among fp32 and int8 of the same p50, whose comparison in turns gave an answer."""
    parent = artifact("onnx", "fp32", 100, 100.0, 1.0)
    child = replace(artifact("onnx", "int8", size, 40.0, 1.0), route=f"{parent.route}>onnx:int8")
    speedup = {"yes": 1.02, "no": 0.98}.get(answer, 1.0)
    found = Pays("local", answer, speedup, (speedup - 0.01, speedup + 0.01), None)  # type: ignore[arg-type]  # a literal
    checks = [replace(check_row(row), verdict="verified") for row in (parent, child)]
    return recommend([parent, child], checks, [timing(parent, 1.0), timing(child, 1.0, (found,))])


def test_between_an_artifact_and_its_parent_the_comparison_in_turns_decides() -> None:
    slower = paired("no")
    assert slower.artifact == "onnx fp32"
    faster = paired("yes", size=150)
    assert faster.artifact == "onnx int8"
    assert "1.02 times as fast as onnx fp32" in faster.reason


def test_without_an_answer_the_smaller_is_chosen_and_the_reason_says_so() -> None:
    one = paired("not shown")
    assert one.artifact == "onnx int8"
    assert "no gain over onnx fp32, which it was made from, was shown" in one.reason
