"""Checks and timings on emulated Arm boards: what differs between cores shows, and no time counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.benching import bench
from edgekit.checking import check
from edgekit.latency.stored import compared, read_timings
from edgekit.results import CheckResult
from edgekit.runtimes.environment import Environment, probe
from edgekit.runtimes.openvino_arm import limit_of
from tests.boards import builder
from tests.devices.emulation import emulation
from tests.devices.mobile import mobile_kit

A72, A76 = "qemu://aarch64?cpu=cortex-a72", "qemu://aarch64?cpu=cortex-a76"
HERE = "local"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with emulation(tmp_path_factory) as folder:
        yield folder


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of a trained network of MobileNetV3's kind for three engines, INT8 for two of them."""
    return mobile_kit(tmp_path_factory.mktemp("mobile"))


@pytest.fixture(scope="module")
def checked(kit: Path, cache: Path) -> CheckResult:
    """Checked on both boards and this machine at once."""
    return check(kit, device=[A72, A76, HERE])


@pytest.mark.slow
def test_every_artifact_but_one_holds_on_both_cores_and_here(checked: CheckResult) -> None:
    found = {(row.device, row.target, row.precision): row.verdict for row in checked.results}
    assert len(found) == 3 * 5
    broken = (A72, "openvino", "int8")
    assert found.pop(broken) == "error"
    assert set(found.values()) <= {"verified", "weak"}, found


@pytest.mark.slow
def test_the_artifact_that_one_core_cannot_run_has_a_reason_and_a_way_out(checked: CheckResult) -> None:
    (row,) = (row for row in checked.results if row.verdict == "error")
    said = " ".join(row.reasons)
    assert row.culprit == "device"
    assert "Cortex-A72" in said
    assert "no 8-bit dot product (asimddp)" in said
    assert "--target tflite" in said
    assert "the same file runs on this machine" in said
    assert "on the device these ran and did not fail: onnx fp32, openvino fp32, tflite fp32, tflite int8" in said


@pytest.mark.slow
def test_a_timing_there_tests_the_path_and_counts_for_nothing(kit: Path, cache: Path, tmp_path: Path) -> None:
    timed = bench(kit, device=A76, target="tflite")
    assert [row.openings for row in timed.results] == [1, 1]
    for row in timed.results:
        assert row.samples == 1  # after the first inference and one to warm up
        assert row.verdict == "weak"
        assert "not representative" in " ".join(row.reasons)
        assert all(answer.answer == "not shown" for answer in row.pays)
    stored = tmp_path / "bench.json"
    stored.write_text(json.dumps(timed.to_json()))
    for comparison in compared(timed.results, read_timings(stored), max_regression=0.0):
        assert comparison.answer == "not comparable"
        assert not comparison.regression


def machine(root: Path, features: str, architecture: str = "aarch64") -> Environment:
    board = builder.raspberry_pi_4(root)
    board.write({"proc/cpuinfo": f"Features : {features}\nCPU implementer : 0x41\nCPU part : 0xd08"})
    return replace(probe(board.proc, board.sys), architecture=architecture)


@pytest.mark.parametrize(
    ("features", "architecture", "operations", "limited"),
    [
        ("fp asimd aes", "aarch64", ["Convolution", "FakeQuantize"], True),
        ("fp asimd aes", "aarch64", ["Convolution"], False),
        ("fp asimd asimddp", "aarch64", ["FakeQuantize"], False),
        ("", "aarch64", ["FakeQuantize"], False),  # unknown: nothing is claimed
        ("avx2", "x86_64", ["FakeQuantize"], False),
    ],
)
def test_the_known_limit_is_named_only_where_it_applies(
    features: str, architecture: str, operations: list[str], limited: bool, tmp_path: Path
) -> None:
    found = limit_of(operations, machine(tmp_path, features, architecture))
    assert (found is not None) == limited
    assert not limited or "Cortex-A72" in str(found)
