"""Labels that are classes: which output they are about, which are refused, and what a loss of accuracy means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.parity.accuracy import AccuracyJudgement, predicted, refuse_labels
from edgekit.parity.task import ACCURACY, Task

Array = NDArray[Any]
LABELS = np.array([1, 0, 1])
PROBABILITIES = np.array([[0.1, 0.9], [0.2, 0.8], [0.4, 0.6]], np.float32)
SINGLE = np.array([[0.9], [0.8], [0.7]], np.float32)
LOGITS = np.array([[-1.0, 2.0], [0.0, 3.0], [-3.0, 5.0]], np.float32)
IMAGE = np.zeros((3, 4, 4), np.float32)


@pytest.mark.parametrize(
    "output",
    [PROBABILITIES, LOGITS, SINGLE, SINGLE[:, 0], np.array([1, 1, 1], np.int64)],
    ids=["probabilities", "logits", "probability", "flat", "classes"],
)
def test_accuracy_of_scores_probabilities_and_classes(output: Array) -> None:
    assert predicted(output).tolist() == [1, 1, 1]
    for labels in (LABELS, LABELS[:, None]):
        assert Task(ACCURACY, labels, {"output": output}).source_value == pytest.approx(2 / 3)


def test_a_nan_is_never_correct() -> None:
    output = np.array([[0.1, np.nan], [0.9, 0.1], [0.1, 0.9]], np.float32)
    assert predicted(output).tolist() == [-1, 0, 1]
    assert predicted(np.full((3, 1), np.nan, np.float32), SINGLE).tolist() == [-1] * 3


def test_the_source_says_what_an_output_beyond_one_means() -> None:
    assert predicted(SINGLE + np.float32(0.4), SINGLE).tolist() == [1, 1, 1]
    assert predicted(SINGLE - np.float32(0.75), SINGLE).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("outputs", "name"),
    [
        ({"box": LOGITS, "class": PROBABILITIES}, "class"),
        ({"box": np.hstack([LOGITS, LOGITS]), "risk": SINGLE}, "risk"),
        ({"map": IMAGE, "logits": LOGITS}, "logits"),
        ({"value": LOGITS[:, :1], "class": np.array([0, 1, 1])}, "class"),
        ({"risk": SINGLE[:, 0]}, "risk"),
    ],
)
def test_the_output_that_labels_are_about(outputs: dict[str, Array], name: str) -> None:
    assert Task(ACCURACY, LABELS, outputs).output == name


@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ({"one": PROBABILITIES, "two": PROBABILITIES[:, ::-1], "box": LOGITS}, "several-scores"),
        ({"one": LOGITS, "two": LOGITS}, "several-scores"),
        ({"map": IMAGE}, "no-scores"),
        ({"value": LOGITS[:, :1]}, "no-scores"),
    ],
)
def test_no_guess_about_labels(outputs: dict[str, Array], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        Task(ACCURACY, LABELS, outputs)
    assert caught.value.code == code
    if code == "several-scores":
        assert "one, two" in caught.value.message
        assert caught.value.hint == "Say which: --metric accuracy@one"


@pytest.mark.parametrize(
    ("output", "labels", "code", "words"),
    [
        (PROBABILITIES, np.array([0.0, 1.0, 0.0]), "bad-labels", "astype"),
        (PROBABILITIES, np.array([False, True, False]), "bad-labels", "astype"),
        (PROBABILITIES, np.eye(3, 2), "bad-labels", "argmax"),
        (PROBABILITIES, np.eye(3, 2, dtype=int), "bad-labels", "argmax"),
        (PROBABILITIES, np.asarray(1), "bad-labels", "one class per sample"),
        (PROBABILITIES, np.array([0, 1]), "label-count", "samples"),
        (PROBABILITIES, np.array([1, 2, 1]), "label-range", "0 to 1, but labels go from 1 to 2"),
        (PROBABILITIES, np.array([0, -1, 1]), "label-range", "from -1 to 1"),
        (SINGLE, np.array([0, 1, 2]), "label-range", "0 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(output: Array, labels: Array, code: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        refuse_labels(labels, output)
    assert caught.value.code == code
    assert words in f"{caught.value} {caught.value.hint}"


def classified(samples: int, wrong: int) -> tuple[Array, Array]:
    labels = np.arange(samples) % 10
    output = np.eye(10, dtype=np.float32)[labels]
    output[:wrong] = np.roll(output[:wrong], 1, axis=1)
    return output, labels


def judged(source: Array, got: Array, labels: Array, max_drop: float | None) -> AccuracyJudgement:
    return Task(ACCURACY, labels, {"scores": source}).judge({"scores": got}, max_drop)


@pytest.mark.parametrize(
    ("samples", "wrong", "max_drop", "verdict"),
    [
        (1000, 0, 0.01, "verified"),
        (1000, 3, 0.02, "verified"),
        (1000, 3, 0.005, "weak"),
        (1000, 100, 0.005, "failed"),
        (50, 1, 0.005, "weak"),
        (50, 0, 0.005, "weak"),
        (1000, 500, None, "verified"),
    ],
)
def test_accuracy_is_judged_by_the_interval_of_its_drop(
    samples: int, wrong: int, max_drop: float | None, verdict: str
) -> None:
    perfect, labels = classified(samples, 0)
    got, _ = classified(samples, wrong)
    found = judged(perfect, got, labels, max_drop)
    assert found.verdict == verdict
    assert bool(found.reasons) == (verdict != "verified")
    assert found.accuracy.source_value == 1.0
    assert found.accuracy.drop == pytest.approx(wrong / samples)
    low, high = found.accuracy.drop_ci95
    assert low <= wrong / samples <= high


def test_a_weak_drop_says_how_many_samples_would_show_it() -> None:
    perfect, labels = classified(200, 0)
    (reason,) = judged(perfect, perfect, labels, 0.01).reasons
    needed = int(reason.split("some ")[1].split(" samples")[0].replace(",", ""))
    more, of_more = classified(needed + 200, 0)
    assert judged(more, more, of_more, 0.01).verdict == "verified"
    fewer, of_fewer = classified(needed - 200, 0)
    assert judged(fewer, fewer, of_fewer, 0.01).verdict == "weak"
    (hopeless,) = judged(perfect, classified(200, 1)[0], labels, 0.005).reasons
    assert "would show it" not in hopeless


def test_an_artifact_that_is_better_than_its_source_is_fine() -> None:
    perfect, labels = classified(500, 0)
    found = judged(classified(500, 20)[0], perfect, labels, 0.0)
    assert found.verdict == "verified"
    assert found.accuracy.drop < 0


def test_accuracy_of_nothing_fails() -> None:
    empty, labels = classified(0, 0)
    assert judged(empty, empty, labels, 0.01).verdict == "failed"
