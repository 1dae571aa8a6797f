"""The figures of a comparison, against their definitions written out in plain numpy."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.parity import metrics
from edgekit.parity.metrics import are_probabilities, difference, equal_samples, spread, top1_agreement, top_overlap

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
    moves = want - want.mean(axis=0)
    assert size.deviation == pytest.approx(want.std(), rel=1e-9)
    assert size.rms == pytest.approx(np.sqrt((want**2).mean()), rel=1e-9)
    assert found.max_abs == pytest.approx(np.abs(error).max())
    assert found.max_rel == pytest.approx((np.abs(error) / np.maximum(np.abs(want), 1e-3 * want.std())).max(), rel=1e-6)
    assert found.sqnr_db == pytest.approx(10 * np.log10((moves**2).sum() / (error**2).sum()), abs=1e-6)
    worst = 10 * np.log10((moves**2).sum() / samples / (error**2).sum(axis=1).max())
    assert found.worst_sqnr_db == pytest.approx(worst, abs=1e-6)
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
    assert found.compared == 32
    assert found.cosine == pytest.approx(1.0)


def test_a_constant_offset_is_no_signal() -> None:
    random = np.random.default_rng(0)
    want, have = (100 + random.normal(size=(400, 3)) for _ in range(2))  # unrelated but for the offset
    found = difference(want, have, 1.0)
    assert found.sqnr_db == pytest.approx(-3, abs=0.5)  # the noise has twice the power; the plain SQNR is 37 dB
    assert found.cosine is not None
    assert found.cosine > 0.999


def test_sqnr_of_outputs_about_zero_is_the_plain_one() -> None:
    random = np.random.default_rng(0)
    want = random.normal(size=(4000, 3))
    error = 0.01 * random.normal(size=want.shape)
    plain = 10 * np.log10((want**2).sum() / (error**2).sum())
    assert difference(want, want + error, 1.0).sqnr_db == pytest.approx(plain, abs=0.01)


def test_one_sample_has_its_plain_power_for_a_signal() -> None:
    want = np.array([[3.0, 4.0]])
    assert difference(want, want + np.array([0.0, 0.5]), 1.0).sqnr_db == pytest.approx(20)
    same = np.repeat(want, 5, axis=0)
    assert difference(same, same + np.array([0.0, 0.5]), 1.0).sqnr_db == pytest.approx(20)


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


@pytest.mark.parametrize(
    ("of_source", "of_artifact", "spoiled"),
    [
        (np.nan, np.nan, 0),
        (np.inf, np.inf, 0),
        (np.nan, 7.0, 1),
        (7.0, np.nan, 1),
        (np.inf, -np.inf, 1),
        (np.inf, np.nan, 1),
        (-np.inf, -1e38, 1),
    ],
)
def test_nan_and_infinity_have_to_be_the_same(of_source: float, of_artifact: float, spoiled: int) -> None:
    reference, got = noisy(8, 4, 0.0, 4)
    reference[0, 0], got[0, 0] = of_source, of_artifact
    size, found = spread(reference), difference(reference, got, 1.0)
    assert size.deviation == pytest.approx(reference[np.isfinite(reference)].std(dtype=np.float64))
    assert (found.spoiled, found.max_abs, found.compared) == (spoiled, 0.0, 31)
    assert found.sqnr_db is None


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
    found = top1_agreement(reference, got)
    assert (found.hits, found.samples, found.share, found.varies) == (2, 4, 0.5, True)
    assert not top1_agreement(reference[:1].repeat(4, axis=0), got).varies
    assert equal_samples(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]])) == 1


def test_agreement_over_positions_counts_their_share_in_each_sample() -> None:
    reference = np.random.default_rng(0).random((6, 5, 4, 3))
    got = reference.copy()
    got[0] = np.roll(got[0], 1, axis=-1)  # all 20 positions
    got[1, 2, 3] = np.roll(got[1, 2, 3], 1)  # one of 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BLOCK_ELEMENTS", 100)
        assert top1_agreement(reference, got).hits == pytest.approx(4 + 19 / 20)


def softmax(*shape: int) -> Array:
    powers = np.exp(np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def with_nan(array: Array) -> Array:
    array[0, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (softmax(4, 10), True),
        (softmax(4, 2), True),
        (softmax(4, 8, 8, 3), True),
        (softmax(4, 10).astype(np.float16), True),
        (with_nan(softmax(4, 10)), True),
        (with_nan(softmax(1, 10)), False),
        (2 * softmax(4, 10), False),
        (softmax(4, 10) - 0.2, False),
        (np.ones((4, 1), np.float32), False),
        (np.ones(4, np.float32), False),
        (np.eye(4, dtype=np.int64), False),
    ],
)
def test_which_outputs_are_probabilities(array: Array, expected: bool) -> None:
    assert are_probabilities(array) is expected


@given(samples=st.integers(1, 12), classes=st.integers(2, 9), seed=st.integers(0, 99), block=st.integers(1, 40))
def test_the_overlap_of_the_best_follows_its_definition(samples: int, classes: int, seed: int, block: int) -> None:
    random = np.random.default_rng(seed)
    reference, got = (random.integers(0, 4, (samples, classes)).astype(np.float32) for _ in range(2))  # with ties
    best = min(5, classes - 1)
    shared = [
        len(
            set(sorted(range(classes), key=lambda c: -w[c])[:best])
            & set(sorted(range(classes), key=lambda c: -h[c])[:best])
        )
        for w, h in zip(reference, got, strict=True)
    ]  # sorted is stable, so that the first of equals counts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BLOCK_ELEMENTS", block)
        assert top_overlap(reference, got) == pytest.approx(sum(shared) / (best * samples))


@pytest.mark.parametrize("array", [np.zeros((4, 1)), np.zeros((4, 3, 3)), np.zeros((0, 3)), np.zeros((4, 3), int)])
def test_what_has_no_ranks_has_no_overlap(array: Array) -> None:
    assert top_overlap(array, array) is None
