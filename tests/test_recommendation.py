"""What is recommended is sound first, then fast as far as speed was shown, then small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.recommendation import recommend
from edgekit.results import ArtifactResult, BenchRow, CheckRow, Recommendation
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


def test_nothing_that_failed() -> None:
    bad: Sequence[Verdict] = ("failed", "error")
    assert chosen(*(("onnx", "fp32", 1, verdict, 0.1) for verdict in bad)).artifact is None


def test_nothing_that_was_not_checked() -> None:
    row = artifact("onnx", "fp32", 100, 100.0, 1.0)
    assert recommend([row], [], [replace(timing(row, 1.0), artifact=str(row.path))]).artifact is None
