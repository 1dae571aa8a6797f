"""What counts as a class, and which agreement is enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.parity.comparing import REAL, Array, check, scores, with_noise


def close_scores(disagree: int, samples: int = 400, positions: int = 0) -> tuple[Array, Array]:
    """Probabilities of a source and of an artifact that hardly differ, but in the class of some samples."""
    rows = np.arange(samples)
    reference = np.zeros((samples, 10), np.float32)
    reference[rows, rows % 10], reference[rows, (rows + 1) % 10] = 0.505, 0.495
    got = reference.copy()
    got[rows[:disagree], (rows[:disagree] + 1) % 10] = 0.506
    if positions:
        reference, got = (np.repeat(array[:, None], positions, axis=1) for array in (reference, got))
    return reference, got


AGREEMENTS = [
    (0, "verified", ""),
    (8, "weak", "392/400 (95 % interval 0.961 to 0.991) is not shown to reach 0.97."),
    (30, "failed", "370/400 (95 % interval 0.895 to 0.949) is under 0.99"),
]


@pytest.mark.parametrize("positions", [0, 7])
@pytest.mark.parametrize(("disagree", "verdict", "words"), AGREEMENTS)
@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int4-weights"])
def test_top1_agreement_is_judged_by_its_interval(
    precision: str, disagree: int, verdict: str, words: str, positions: int
) -> None:
    reference, got = close_scores(disagree, positions=positions)
    parity = check(reference, got, precision)
    assert parity.verdict == verdict
    assert [words in reason for reason in parity.reasons] == ([True] if words else [])
    assert parity.outputs[0].top1_agreement == 1 - disagree / 400


@pytest.mark.parametrize(("disagree", "verdict", "words"), AGREEMENTS)
def test_figures_that_may_be_logits_never_fail_by_agreement_alone(disagree: int, verdict: str, words: str) -> None:
    reference, got = (4 * array - 1 for array in close_scores(disagree))
    parity = check(reference, got, "int8")
    assert parity.verdict == ("weak" if disagree else "verified")
    assert [words in reason for reason in parity.reasons] == ([True] if words else [])
    assert check(reference, got, "int8", task="probs").verdict == verdict  # labels say that these are classes


def test_positions_of_one_sample_are_no_evidence_of_their_own() -> None:
    parity = check(*close_scores(0, samples=32, positions=5000), "int8", evidence=replace(REAL, samples=32))
    assert parity.verdict == "weak"
    assert "top-1 agreement over positions 32/32 (95 % interval 0.891 to 1.000)" in parity.reasons[0]


def test_two_coordinates_are_no_classes() -> None:
    random = np.random.default_rng(0)
    centre = random.normal(size=(400, 1))
    points = np.hstack([centre, centre]) + 0.01 * random.normal(size=(400, 2))  # close together: argmax is a toss
    parity = check(points, with_noise(points, 30), "int8")
    assert parity.verdict == "weak"
    assert parity.outputs[0].top1_agreement is None
    assert "no task metric" in parity.reasons[0]
    assert "give --labels" in parity.reasons[0]
    assert check(points, points).verdict == "verified"


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int4-weights"])
def test_one_output_with_classes_is_a_task_metric_for_the_model(precision: str) -> None:
    probabilities, _ = close_scores(0)
    both = {"probs": probabilities, "box": scores(seed=3)[:, :2]}
    assert check(both, both, precision).verdict == "verified"


def test_one_probability_needs_labels_to_be_a_class() -> None:
    single = np.random.default_rng(0).random((400, 1)).astype(np.float32)
    assert check(single, single, "int8").verdict == "weak"
    labelled = check(single, single, "int8", task="probs")
    assert (labelled.verdict, labelled.outputs[0].top1_agreement) == ("verified", 1.0)
    moved = check(single, np.asarray(single + 0.1, np.float32), "int8", task="probs").outputs[0].top1_agreement
    assert moved == pytest.approx(1 - np.mean((single > 0.4) & (single <= 0.5)))


def test_the_same_class_for_every_sample_shows_no_agreement() -> None:
    one_class = close_scores(0)[0] * np.float32(0.2)
    one_class[:, 3] += 0.8
    parity = check(one_class, one_class, "int8")
    assert parity.verdict == "weak"
    assert "the source gives the same class for every sample" in parity.reasons[0]


def test_few_samples_cannot_show_agreement() -> None:
    few = scores(32)
    parity = check(few, few, "int8", evidence=replace(REAL, samples=32))
    assert parity.verdict == "weak"
    assert "top-1 agreement 32/32" in parity.reasons[0]


def test_int4_without_scores_is_hardly_judged() -> None:
    wide = scores().reshape(400, 5, 2)
    parity = check(wide, wide, "int4-weights")
    assert parity.verdict == "weak"
    assert "so only SQNR judges int4-weights" in parity.reasons[0]


def test_a_classifier_that_mixes_up_its_lower_ranks_shows_in_the_five_best() -> None:
    reference = np.sort(np.abs(scores()), axis=1)[:, ::-1].copy()  # the classes in order, the first is the best
    got = reference.copy()
    got[:, 3:] = reference[:, :2:-1]  # the lower seven reversed
    figures = check(reference, got, "int8-weights").outputs[0]
    assert figures.top1_agreement == 1.0
    assert figures.top5_overlap == pytest.approx(3 / 5)
    assert check(reference, reference).outputs[0].top5_overlap == 1.0
    assert check(scores().reshape(400, 5, 2), scores().reshape(400, 5, 2)).outputs[0].top5_overlap is None
