"""What a metric says of an artifact beside its source: the drop, its interval, the verdict, and refused options."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.parity.accuracy import AccuracyJudgement
from edgekit.parity.scores import NOT_FINITE
from edgekit.parity.task import Metric, Task, read_metric, refuse_limit

Array = NDArray[Any]


def judged(metric: str, source: Array, got: Array, labels: Array, max_drop: float | None) -> AccuracyJudgement:
    return Task(Metric(metric), labels, {"out": source}).judge({"out": got}, max_drop)


def spoiled(probabilities: Array, share: float, seed: int = 0) -> Array:
    """Probabilities of which a share of the samples point elsewhere."""
    wrong = np.random.default_rng(seed).random(len(probabilities)) < share
    return np.where(wrong[:, None], np.roll(probabilities, 1, axis=1), probabilities)


CLASSES = np.arange(600) % 6
RIGHT = np.eye(6, dtype=np.float32)[CLASSES] * 0.7 + 0.05
VALUES = np.random.default_rng(1).normal(size=(400, 1)).astype(np.float32)
NOISE = np.random.default_rng(2).normal(size=(400, 1)).astype(np.float32)
MASKS = (np.random.default_rng(3).random((60, 8, 8)) < 0.4).astype(np.int64)
SURE = (0.1 + 0.8 * MASKS).astype(np.float32)
PATCHY = np.where(np.random.default_rng(4).random(MASKS.shape) < 0.02, 1 - SURE, SURE)


@pytest.mark.parametrize(
    ("metric", "source", "got", "labels", "max_drop", "verdict"),
    [
        ("f1", RIGHT, spoiled(RIGHT, 0.01), CLASSES, 0.05, "verified"),
        ("f1", RIGHT, spoiled(RIGHT, 0.2), CLASSES, 0.05, "failed"),
        ("f1", RIGHT, spoiled(RIGHT, 0.05), CLASSES, 0.05, "weak"),
        ("f1", spoiled(RIGHT, 0.2), RIGHT, CLASSES, 0.0, "verified"),
        ("top5", np.tile(np.arange(6.0), (600, 1)), -np.tile(np.arange(6.0), (600, 1)), CLASSES * 0 + 5, 0.1, "failed"),
        ("mse", VALUES, VALUES + NOISE / 10, VALUES, 0.02, "verified"),
        ("mse", VALUES, VALUES + NOISE / 10, VALUES, 0.001, "failed"),
        ("mae", VALUES, VALUES + NOISE / 10, VALUES, 0.084, "weak"),
        ("iou", SURE, PATCHY, MASKS, 0.1, "verified"),
        ("iou", SURE, PATCHY, MASKS, 0.01, "failed"),
    ],
)
def test_a_loss_is_judged_by_the_interval_of_its_drop(
    metric: str, source: Array, got: Array, labels: Array, max_drop: float, verdict: str
) -> None:
    found = judged(metric, source, got, labels, max_drop)
    assert found.verdict == verdict
    assert found.accuracy.metric == metric
    low, high = found.accuracy.drop_ci95
    assert low <= found.accuracy.drop <= high
    better = found.accuracy.source_value - found.accuracy.value
    assert found.accuracy.drop == pytest.approx(-better if metric in ("mse", "mae") else better)
    if verdict == "weak":
        assert "samples like these would show it" in found.reasons[0]
    if verdict == "failed":
        assert f"more than the {max_drop:g} allowed" in found.reasons[0]


def test_the_same_samples_always_give_the_same_interval() -> None:
    first = judged("f1", RIGHT, spoiled(RIGHT, 0.05), CLASSES, 0.05)
    assert first == judged("f1", RIGHT, spoiled(RIGHT, 0.05), CLASSES, 0.05)


@pytest.mark.parametrize("metric", ["f1", "iou"])
def test_few_samples_without_a_difference_show_no_small_limit(metric: str) -> None:
    source, labels = (RIGHT[:50], CLASSES[:50]) if metric == "f1" else (SURE[:50], MASKS[:50])
    found = judged(metric, source, source, labels, 0.005)
    assert (found.verdict, found.accuracy.drop) == ("weak", 0.0)
    assert found.accuracy.drop_ci95[1] == pytest.approx(0.0711, abs=1e-3)  # as of 50 samples of 50
    assert "some 740 samples" in found.reasons[0]


def test_the_number_of_samples_that_would_show_it_is_about_right() -> None:
    found = judged("mae", VALUES, VALUES + NOISE / 10, VALUES, 0.084)
    needed = int(found.reasons[0].split("some ")[1].split(" samples")[0].replace(",", ""))
    random = np.random.default_rng(5)
    many = random.normal(size=(2 * needed, 1))
    got = many + random.normal(size=many.shape) / 10
    assert needed > 400
    assert judged("mae", many, got, many, 0.084).verdict == "verified"


@pytest.mark.parametrize("metric", ["mse", "mae"])
def test_an_artifact_with_nan_fails_whatever_the_limit(metric: str) -> None:
    got = VALUES.copy()
    got[7] = np.nan
    for max_drop in (None, 1e6):
        found = judged(metric, VALUES, got, VALUES, max_drop)
        assert (found.verdict, found.accuracy.value, found.accuracy.drop_ci95) == ("failed", NOT_FINITE, ())
    assert math.isnan(Task(Metric(metric), VALUES, {"out": VALUES}).value({"out": got}))


@pytest.mark.parametrize("metric", ["mse", "f1"])
def test_one_sample_has_no_interval(metric: str) -> None:
    source, labels = (VALUES[:1], VALUES[:1]) if metric == "mse" else (RIGHT[:1], CLASSES[:1])
    found = judged(metric, source, source, labels, 0.5)
    assert (found.verdict, found.accuracy.drop_ci95) == ("weak", ())
    assert "1 sample give" in found.reasons[0]


def test_a_search_goes_without_the_interval() -> None:
    task = Task(Metric("f1"), CLASSES, {"out": RIGHT})
    got = {"out": spoiled(RIGHT, 0.1)}
    found = task.judge(got, None, interval=False).accuracy
    assert (found.value, found.drop_ci95) == (task.value(got), ())
    assert found.drop == pytest.approx(task.source_value - found.value)


def test_what_an_artifact_lacks_is_seen() -> None:
    task = Task(Metric("f1"), CLASSES, {"out": RIGHT, "other": VALUES})
    assert task.fits({"out": RIGHT})
    assert not task.fits({"out": RIGHT[:10]})
    assert not task.fits({"other": VALUES})


@pytest.mark.parametrize(
    ("metric", "source", "labels", "name"),
    [
        ("accuracy", RIGHT, CLASSES, "out"),
        ("f1", RIGHT, CLASSES[:, None], "out"),
        ("f1", (RIGHT > 0.5) * np.float32(0.9), (RIGHT > 0.2).astype(int), None),
        ("iou", SURE, MASKS, None),
        ("mse", VALUES, VALUES, None),
    ],
)
def test_only_labels_of_one_class_say_that_an_output_holds_classes(
    metric: str, source: Array, labels: Array, name: str | None
) -> None:
    assert Task(Metric(metric), labels, {"out": source}).class_output == name


def test_a_metric_is_read_by_name(tmp_path: Path) -> None:
    code = tmp_path / "odd@name.py"
    code.write_text("raise SystemExit('a metric is not imported to read its name')\n")
    assert read_metric("accuracy") == Metric("accuracy")
    assert read_metric("mse@box:0") == Metric("mse", "box:0")
    own = read_metric(f"{code}:score@left")
    assert (own.label, own.output) == ("odd@name.py:score@left", "left")
    assert own.code is not None
    assert own.env
    assert not own.for_message().env


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ("acuracy", "unknown-metric", "accuracy, top5, f1, iou, mse, mae; or give file.py:function"),
        ("nowhere.py:score", "no-code-file", "file.py:function"),
        ("score.py", "unknown-metric", "file.py:function"),
    ],
)
def test_an_unknown_metric_is_refused(given: str, code: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_metric(given)
    assert caught.value.code == code
    assert words in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("metric", "labels", "max_drop", "code"),
    [
        ("mse", None, None, "metric-without-labels"),
        ("accuracy@logits", None, None, "metric-without-labels"),
        ("accuracy", None, 0.1, "drop-without-labels"),
        ("accuracy", "label", 1.5, "bad-drop"),
        ("iou", "label", -0.1, "bad-drop"),
        ("mse", "label", -0.1, "bad-drop"),
        ("mse", "label", math.inf, "bad-drop"),
        ("mse", "label", math.nan, "bad-drop"),
        ("mse", "label", 12.0, None),
        ("accuracy", None, None, None),
        ("f1", "label", 0.0, None),
    ],
)
def test_a_limit_has_to_mean_something(
    metric: str, labels: str | None, max_drop: float | None, code: str | None
) -> None:
    if code is None:
        refuse_limit(read_metric(metric), labels, max_drop)
        return
    with pytest.raises(UsageError) as caught:
        refuse_limit(read_metric(metric), labels, max_drop)
    assert caught.value.code == code
