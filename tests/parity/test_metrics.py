"""The figures of a comparison, against their definitions written out in plain numpy."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.parity import metrics
from edgekit.parity.metrics import correct, difference, equal_samples, looks_like_scores, spread, top1_agreements

Array = NDArray[Any]


def noisy(samples: int, width: int, noise: float, seed: int) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    reference = random.normal(3.0, 2.0, size=(samples, width)).astype(np.float32)
    return reference, (reference + noise * random.normal(size=reference.shape)).astype(np.float32)


@given(
    samples=st.integers(2, 40),
    width=st.integers(1, 9),
    noise=st.floats(1e-4, 10),
    seed=st.integers(0, 999),
    block=st.integers(1, 50),
)
def test_the_figures_follow_their_definitions_however_the_samples_are_split(
    samples: int, width: int, noise: float, seed: int, block: int
) -> None:
    reference, got = noisy(samples, width, noise, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BLOCK_ELEMENTS", block)
        size = spread(reference)
        found = difference(reference, got, size.deviation)
    want, have = reference.astype(np.float64), got.astype(np.float64)
    error = want - have
    per_sample = 10 * np.log10((want**2).sum(axis=1) / (error**2).sum(axis=1))
    assert size.deviation == pytest.approx(want.std(), rel=1e-9)
    assert size.rms == pytest.approx(np.sqrt((want**2).mean()), rel=1e-9)
    assert found.max_abs == pytest.approx(np.abs(error).max())
    assert found.max_rel == pytest.approx((np.abs(error) / np.maximum(np.abs(want), 1e-3 * want.std())).max(), rel=1e-6)
    assert found.sqnr_db == pytest.approx(10 * np.log10((want**2).sum() / (error**2).sum()), abs=1e-6)
    assert found.worst_sqnr_db == pytest.approx(per_sample.min(), abs=1e-6)
    assert found.cosine == pytest.approx((want * have).sum() / np.linalg.norm(want) / np.linalg.norm(have), abs=1e-9)


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_sqnr_and_cosine_do_not_depend_on_the_unit(scale: float, seed: int) -> None:
    reference, got = (array.astype(np.float64) for array in noisy(8, 4, 0.1, seed))
    plain = difference(reference, got, 1.0)
    scaled = difference(reference * scale, got * scale, scale)
    assert scaled.sqnr_db == pytest.approx(plain.sqnr_db, abs=1e-6)
    assert scaled.cosine == pytest.approx(plain.cosine, abs=1e-9)
    assert scaled.max_rel == pytest.approx(plain.max_rel, rel=1e-6)


def test_equal_arrays_have_no_noise() -> None:
    reference, _ = noisy(8, 4, 0.0, 1)
    found = difference(reference, reference.copy(), 1.0)
    assert (found.max_abs, found.max_rel, found.sqnr_db, found.worst_sqnr_db, found.spoiled) == (0, 0, None, None, 0)
    assert found.cosine == pytest.approx(1.0)


def test_one_bad_sample_shows_in_the_worst_sample_and_hardly_in_the_total() -> None:
    reference, got = noisy(400, 8, 1e-3, 2)
    got[17] += 1.0
    found = difference(reference, got, 2.0)
    assert found.sqnr_db is not None
    assert found.worst_sqnr_db is not None
    assert found.sqnr_db > 30
    assert found.worst_sqnr_db < 16


def test_nan_and_infinity_are_counted_and_never_hide_the_rest() -> None:
    reference, got = noisy(8, 4, 0.0, 3)
    got[0, 0], got[1, 1] = np.nan, -np.inf
    got[5, 2] += 0.5
    found = difference(reference, got, 2.0)
    assert found.spoiled == 2
    assert found.max_abs == pytest.approx(0.5)


def test_infinities_of_the_source_are_left_out() -> None:
    reference, got = noisy(8, 4, 0.0, 4)
    reference[0, 0], got[0, 0] = np.inf, 7.0
    size, found = spread(reference), difference(reference, got, 1.0)
    assert size.nonfinite == 1
    assert size.deviation == pytest.approx(reference[np.isfinite(reference)].std(dtype=np.float64))
    assert (found.spoiled, found.max_abs) == (0, 0.0)


def test_all_nan_has_no_size() -> None:
    assert spread(np.full((4, 2), np.nan)) == metrics.Spread(0.0, 0.0, varies=False, nonfinite=8)


def test_noise_without_signal_is_no_equality() -> None:
    found = difference(np.zeros((4, 2)), np.full((4, 2), 1e-3), 0.0)
    assert found.sqnr_db == metrics.NO_SIGNAL_DB
    assert found.cosine is None


def test_variation_means_variation_over_samples() -> None:
    row = np.arange(6.0).reshape(1, 6)
    assert not spread(np.repeat(row, 5, axis=0)).varies
    assert not spread(np.repeat(row, 5, axis=0) * (1 + 1e-8 * np.arange(5)[:, None])).varies  # rounding of a batch
    assert not spread(row).varies
    moving = np.repeat(row, 5, axis=0)
    moving[3, 2] += 0.01
    assert spread(moving).varies


def test_memory_stays_flat_over_many_samples() -> None:
    reference = np.lib.stride_tricks.as_strided(np.ones(256, np.float32), (100_000, 256), (0, 4))  # 200 MB in float64
    tracemalloc.start()
    difference(reference, reference, spread(reference).deviation)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_agreement_counts_samples_and_a_nan_never_agrees() -> None:
    reference = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    got = np.array([[0.2, 0.8], [0.4, 0.6], [np.nan, 0.7], [0.5, 0.5]], np.float32)
    assert top1_agreements(reference, got) == 2
    assert equal_samples(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]])) == 1


@pytest.mark.parametrize(
    ("array", "scores"),
    [
        (np.zeros((4, 10), np.float32), True),
        (np.zeros((4, 1), np.float32), False),
        (np.zeros((4, 8, 8), np.float32), False),
        (np.zeros((4, 10), np.int64), False),
        (np.zeros(4, np.float32), False),
    ],
)
def test_which_outputs_look_like_scores(array: Array, scores: bool) -> None:
    assert looks_like_scores(array) is scores


LABELS = np.array([1, 0, 1])


@pytest.mark.parametrize(
    "output",
    [
        np.array([[0.1, 0.9], [0.2, 0.8], [-3.0, 5.0]], np.float32),
        np.array([[0.9], [0.8], [0.7]], np.float32),
        np.array([1, 1, 1], np.int64),
    ],
    ids=["scores", "probability", "classes"],
)
def test_accuracy_of_scores_probabilities_and_classes(output: Array) -> None:
    assert correct(output, LABELS).tolist() == [True, False, True]
    assert correct(output, LABELS[:, None]).tolist() == [True, False, True]


def test_a_nan_is_never_correct() -> None:
    output = np.array([[0.1, np.nan], [0.9, 0.1], [0.1, 0.9]], np.float32)
    assert correct(output, LABELS).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("output", "labels", "code"),
    [
        (np.zeros((3, 2), np.float32), np.array([0.0, 1.0, 0.0]), "bad-labels"),
        (np.zeros((3, 2), np.float32), np.eye(3, dtype=int), "bad-labels"),
        (np.zeros((3, 2), np.float32), np.array([0, 1]), "label-count"),
        (np.zeros((3, 4, 4), np.float32), LABELS, "no-classes"),
        (np.array([[-4.0], [2.0], [3.0]]), LABELS, "no-classes"),
    ],
)
def test_labels_that_do_not_fit_are_refused(output: Array, labels: Array, code: str) -> None:
    with pytest.raises(DataError) as caught:
        correct(output, labels)
    assert caught.value.code == code
