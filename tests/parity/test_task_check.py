"""`edgekit.check` with a metric of the user's choice, on real artifacts and engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import UsageError
from tests.cli.command import copied

pytestmark = pytest.mark.slow

CODE = """
import numpy as np


def recall(outputs, labels):
    found = outputs.argmax(axis=1) == labels
    return np.mean([found[labels == one].mean() for one in np.unique(labels)])


def broken(outputs, labels):
    return labels["digit"]
"""


def state(kit: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in kit.rglob("*")}


def test_every_metric_of_a_classifier(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    values = {}
    for metric in ("accuracy", "top5", "f1", f"{tmp_path / 'mine.py'}:recall"):
        options = {"data": digits / "test.npz", "labels": "label", "metric": metric, "max_drop": 0.05}
        (row,) = edgekit.check(kit, target="onnx", precision="fp32", **options).results
        assert row.accuracy is not None
        assert (row.verdict, row.accuracy.drop) == ("verified", 0.0)
        values[row.accuracy.metric] = row.accuracy.value
    assert list(values) == ["accuracy", "top5", "f1", "mine.py:recall"]
    assert 0.8 < values["accuracy"] < values["top5"] <= 1
    assert values["f1"] == pytest.approx(values["mine.py:recall"], abs=0.02)


def test_values_as_labels(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    """One-hot rows as targets of a regression: float labels, refused by every metric of classes."""
    kit = copied(digits_kit, tmp_path)
    stored = dict(np.load(digits / "test.npz"))
    stored["label"] = np.eye(10, dtype=np.float32)[stored["label"]]
    np.savez(tmp_path / "rows.npz", **stored)
    data = tmp_path / "rows.npz"
    (row,) = edgekit.check(
        kit, target="onnx", precision="fp32", data=data, labels="label", metric="mse", max_drop=1e-3
    ).results
    assert row.accuracy is not None
    assert row.verdict == "verified"
    assert 0 < row.accuracy.source_value < 0.1
    with pytest.raises(UsageError, match="one class per sample"):
        edgekit.check(kit, target="onnx", precision="fp32", data=data, labels="label")


def test_a_metric_that_raises_leaves_the_kit_as_it_was(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    before = state(kit)
    with pytest.raises(UsageError, match=r"mine.py:broken raised IndexError: .* \(mine.py, line 11\)"):
        edgekit.check(kit, data=digits / "test.npz", labels="label", metric=f"{tmp_path / 'mine.py'}:broken")
    assert state(kit) == before
