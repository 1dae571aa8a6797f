"""Every metric against scikit-learn's, and the labels that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.parity.task import Metric, Task

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")

Array = NDArray[Any]
SEEDS = st.integers(0, 2**32 - 1)


def value(metric: str, labels: Array, output: Array, like: Array | None = None) -> float:
    """Of an artifact; the source is the same unless ``like`` is given."""
    return Task(Metric(metric), labels, {"out": output if like is None else like}).value({"out": output})


@given(seed=SEEDS, samples=st.integers(1, 60), classes=st.integers(3, 8))
def test_accuracy_and_f1_of_scores_are_scikit_learns(seed: int, samples: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, classes, samples), random.normal(size=(samples, classes))
    guess = scores.argmax(axis=1)
    assert value("accuracy", labels, scores) == pytest.approx(sklearn.accuracy_score(labels, guess))
    assert value("f1", labels, scores) == pytest.approx(sklearn.f1_score(labels, guess, average="macro"))


@given(seed=SEEDS, samples=st.integers(2, 60), two_columns=st.booleans())
def test_f1_of_two_classes_is_that_of_class_1(seed: int, samples: int, two_columns: bool) -> None:
    random = np.random.default_rng(seed)
    labels, risk = random.integers(0, 2, samples), random.random((samples, 1))
    labels[0] = 1
    output = np.hstack([1 - risk, risk]) if two_columns else risk
    assert value("f1", labels, output) == pytest.approx(sklearn.f1_score(labels, risk[:, 0] > 0.5))


@given(seed=SEEDS, samples=st.integers(2, 40), columns=st.integers(2, 5), logits=st.booleans())
def test_f1_of_labels_per_column_is_scikit_learns(seed: int, samples: int, columns: int, logits: bool) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (samples, columns))
    labels[0] = 1
    scores = random.normal(size=(samples, columns)) * 9
    scores[0, 0], scores[1, 0] = 8, -8
    expected = sklearn.f1_score(labels, scores > 0, average="macro", zero_division=np.nan)
    given_out = scores if logits else 1 / (1 + np.exp(-scores))
    assert value("f1", labels, given_out) == pytest.approx(expected)
    assert value("f1", labels.astype(bool), given_out) == pytest.approx(expected)


@given(seed=SEEDS, samples=st.integers(1, 60), classes=st.integers(6, 30))
def test_top5_is_scikit_learns(seed: int, samples: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, classes, samples), random.normal(size=(samples, classes))
    expected = sklearn.top_k_accuracy_score(labels, scores, k=5, labels=np.arange(classes))
    assert value("top5", labels, scores) == pytest.approx(expected)


def test_top5_takes_the_first_of_equal_scores_as_accuracy_does() -> None:
    flat = np.full((8, 8), 0.125, np.float32)
    assert value("top5", np.arange(8), flat) == 5 / 8
    assert value("accuracy", np.arange(8), flat) == 1 / 8
    broken = flat.copy()
    broken[:4, 7] = np.nan
    assert value("top5", np.arange(8), broken, like=flat) == 1 / 8


@given(seed=SEEDS, samples=st.integers(1, 40), shape=st.sampled_from([(), (1,), (3,), (2, 2)]))
def test_mse_and_mae_are_scikit_learns(seed: int, samples: int, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    labels, output = random.normal(size=(2, samples, *shape)).astype(np.float32)
    flat = labels.reshape(samples, -1), output.reshape(samples, -1)
    assert value("mse", labels, output) == pytest.approx(sklearn.mean_squared_error(*flat), rel=1e-5)
    assert value("mae", labels, output) == pytest.approx(sklearn.mean_absolute_error(*flat), rel=1e-5)


def test_one_value_per_sample_may_have_an_axis_of_its_own() -> None:
    ages = np.arange(5)
    assert value("mae", ages, ages[:, None] + 2.0) == 2.0
    assert value("mae", ages[:, None], ages + 2.0) == 2.0


@settings(max_examples=60)
@given(
    seed=SEEDS,
    samples=st.integers(1, 4),
    size=st.sampled_from([(5, 4), (3, 3), (7,)]),
    classes=st.integers(3, 5),
    first=st.booleans(),
)
def test_iou_of_class_maps_is_scikit_learns(
    seed: int, samples: int, size: tuple[int, ...], classes: int, first: bool
) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, (samples, *size))
    labels[random.random(labels.shape) < 0.2] = 255
    labels.flat[0] = 0
    scores = random.normal(size=(samples, *size, classes))
    known = labels != 255
    expected = sklearn.jaccard_score(labels[known], scores.argmax(axis=-1)[known], average="macro")
    if first and (size[-1], *size[:-1]) != size and classes not in size:
        scores = np.moveaxis(scores, -1, 1)
    assert value("iou", labels, scores) == pytest.approx(expected)


@given(seed=SEEDS, form=st.sampled_from(["plain", "last", "first", "logits", "classes", "scores"]))
def test_iou_of_two_classes_is_that_of_class_1(seed: int, form: str) -> None:
    random = np.random.default_rng(seed)
    labels, risk = random.integers(0, 2, (3, 4, 5)), random.random((3, 4, 5))
    labels[0, 0, 0], risk[0, 0, :2] = 1, (0.9, 0.1)
    outputs = {
        "plain": risk,
        "last": risk[..., None],
        "first": risk[:, None],
        "logits": np.log(risk / (1 - risk)),
        "classes": (risk > 0.5).astype(np.int64),
        "scores": np.stack([1 - risk, risk], axis=-1),
    }
    expected = sklearn.jaccard_score(labels.ravel(), risk.ravel() > 0.5)
    assert value("iou", labels, outputs[form]) == pytest.approx(expected)
    assert value("iou", labels[..., None], outputs[form]) == pytest.approx(expected)


def test_positions_that_are_nan_are_wrong() -> None:
    labels = np.array([[[0, 1], [1, 1]]])
    scores = np.eye(2)[labels]
    broken = scores.copy()
    broken[0, 0, 1] = np.nan
    assert value("iou", labels, broken, like=scores) == pytest.approx(2 / 3)


PROBABILITIES = np.array([[0.1, 0.9], [0.2, 0.8], [0.4, 0.6]], np.float32)
TAGS = np.array([[0.1, 0.9], [0.9, 0.8], [0.4, 0.1]], np.float32)
VALUES = np.array([[1.5], [-2.0], [30.0]], np.float32)
MAPS = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
MASK = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "output", "labels", "code", "words"),
    [
        ("top5", PROBABILITIES, np.array([0, 1, 0]), "no-scores", "more than 5 classes"),
        ("f1", PROBABILITIES, np.array([0.0, 1.0, 0.0]), "bad-labels", "astype"),
        ("f1", PROBABILITIES, np.eye(2, dtype=int)[[0, 1, 0]], "bad-labels", "argmax(axis=-1)"),
        ("f1", TAGS, np.array([[0, 1], [2, 1], [1, 1]]), "label-range", "from 0 to 2"),
        ("f1", TAGS, np.zeros((3, 2), int), "no-positive-label", "no label is 1"),
        ("f1", PROBABILITIES, np.zeros(3, int), "no-positive-label", "no label is 1"),
        ("f1", TAGS, np.ones((3, 4), int), "label-shape", "3x4:int64"),
        ("mse", VALUES, np.array([1.0, np.nan, 2.0]), "not-finite", "sample 1"),
        ("mse", VALUES, np.array(["a", "b", "c"]), "bad-labels", "numbers"),
        ("mse", VALUES, np.ones((3, 4)), "label-shape", "mse@OUTPUT"),
        ("mae", VALUES, np.ones(2), "label-count", "one label per sample"),
        ("mae", VALUES * np.float32(np.inf), np.ones(3), "not-finite", "the source's output of sample 0"),
        ("iou", MAPS, np.zeros((3, 5, 5), int), "label-shape", "height"),
        ("iou", MAPS, np.zeros(3, int), "label-shape", "height"),
        ("iou", MAPS, np.zeros((2, 4, 5), int), "label-count", "one mask"),
        ("iou", MAPS, np.full((3, 4, 5), 6), "label-range", "0 to 5, but labels go from 6 to 6"),
        ("iou", MAPS, np.full((3, 4, 5), 255), "label-range", "all 255"),
        ("iou", MAPS, np.zeros((3, 4, 5)), "bad-labels", "astype"),
        ("iou", MASK, np.full((3, 4, 5), 255), "label-range", "0 or 1, but go from 255"),
        ("iou", MASK, np.zeros((3, 4, 5), int), "no-positive-label", "iou"),
        ("accuracy", MAPS, np.zeros((3, 4, 5), int), "no-scores", "iou"),
    ],
)
def test_labels_that_do_not_fit_are_refused(metric: str, output: Array, labels: Array, code: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Task(Metric(metric), labels, {"out": output})
    assert caught.value.code == code
    assert words in f"{caught.value} {caught.value.hint}"
    assert isinstance(caught.value, DataError) == (code != "no-scores")


def test_an_output_is_found_by_its_shape_or_named() -> None:
    boxes, labels = np.zeros((3, 4), np.float32), np.ones((3, 4))
    outputs = {"class": PROBABILITIES, "box": boxes, "mask": MASK, "other": boxes + 1}
    assert Task(Metric("iou"), (MASK > 0.5).astype(int), outputs).output == "mask"
    assert Task(Metric("mse", "other"), labels, outputs).source_value == 0.0
    with pytest.raises(UsageError, match="box, other all qualify") as several:
        Task(Metric("mse"), labels, outputs)
    assert several.value.hint == "Say which: --metric mse@box"
    with pytest.raises(UsageError, match="no output 'boxes'"):
        Task(Metric("mse", "boxes"), labels, outputs)
