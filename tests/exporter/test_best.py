"""`export(best=True)`: every route is tried, and what was measured is told."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgekit
from tests.exporter import zoo


@pytest.mark.slow
def test_every_route_is_tried_and_the_kept_one_keeps_the_batch(tmp_path: Path) -> None:
    model = zoo.build(tmp_path, "cnn") / "cnn.keras"
    result = edgekit.export(model, "openvino", best=True, output=tmp_path / "kit", device="local?threads=1")
    (row,) = result.artifacts
    accepted = {attempt.route: attempt.reason for attempt in row.attempts if attempt.outcome == "accepted"}
    assert len(accepted) >= 3
    assert row.route in accepted
    assert accepted[row.route].startswith("p50 ")
    assert accepted[row.route].endswith("local?threads=1, kept")
    for route, reason in accepted.items():
        if "tflite" in route:  # such a route fixes the batch
            assert reason.startswith("batch fixed to 1")
        elif route != row.route:
            assert "times the time of the one kept" in reason or "the same file" in reason
    assert edgekit.check(tmp_path / "kit").verdict == "verified"
    (artifact,) = edgekit.check(tmp_path / "kit").results
    assert artifact.sha256 == row.sha256


def test_a_bad_device_is_refused_before_any_work(twin_keras: Path, tmp_path: Path) -> None:
    with pytest.raises(edgekit.errors.UsageError, match="device"):
        edgekit.export(twin_keras, "onnx", best=True, device="toaster", output=tmp_path / "kit")
    assert not (tmp_path / "kit").exists()
