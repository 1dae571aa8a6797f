"""Samples: what is set aside stays aside, and size on disk is not size in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, UsageError
from edgekit.samples import (
    GOLDEN_SAMPLES,
    Samples,
    golden_subset,
    refuse_labels_without,
    save_arrays,
    save_npz,
    split3,
)


def numbered(folder: Path, count: int) -> Samples:
    """Samples that carry their own number, and the number as label."""
    numbers = np.arange(count)
    arrays: dict[str, np.ndarray] = {
        "x": np.repeat(numbers[:, None], 3, axis=1).astype(np.float32),
        "label": numbers,
    }
    paths = save_arrays(folder, "a", arrays)
    return Samples({"x": paths["x"]}, paths["label"], "numbers")


def numbers(samples: Samples) -> list[int]:
    labels = samples.load_labels()
    assert labels is not None
    assert np.array_equal(samples.load()["x"][:, 0], labels)  # labels stay beside their samples
    return [int(label) for label in labels]


@settings(deadline=None, max_examples=25)
@given(count=st.integers(2, 700), seed=st.integers(0, 2**31), evaluate=st.booleans())
def test_three_parts_are_disjoint_complete_and_seeded(count: int, seed: int, evaluate: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = numbered(Path(folder), count)
        parts = split3(samples, Path(folder) / "one", seed, evaluate=evaluate)
        again = split3(samples, Path(folder) / "two", seed, evaluate=evaluate)
        three = (parts.calibration, parts.selection, parts.evaluation)
        given = [numbers(part) for part in three if part is not None]
        assert sorted(number for part in given for number in part) == list(range(count))
        assert (parts.evaluation is None) is not evaluate
        assert (parts.selection is None) is bool(parts.notes)
        left = count - (max(1, round(count / 3)) if evaluate else 0)
        assert len(parts.selection or ()) == min(round(left / 3), 300)
        repeated = (again.calibration, again.selection, again.evaluation)
        assert [numbers(part) for part in repeated if part is not None] == given


def test_two_samples_say_what_cannot_be_had(tmp_path: Path) -> None:
    parts = split3(numbered(tmp_path, 2), tmp_path / "parts", 0)
    assert (len(parts.calibration), parts.selection, len(parts.evaluation or ())) == (1, None, 1)
    assert parts.notes == ("2 samples are too few to set some aside for choosing settings.",)
    with pytest.raises(DataError, match="at least two"):
        split3(numbered(tmp_path, 1), tmp_path / "one", 0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), sizes=st.lists(st.integers(1, 90), min_size=2, max_size=6))
def test_every_part_holds_the_classes_in_proportion(seed: int, sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = len(labels)
    with tempfile.TemporaryDirectory() as folder:
        paths = save_arrays(Path(folder), "a", {"x": np.arange(count, dtype=np.float32), "y": labels})
        parts = split3(Samples({"x": paths["x"]}, paths["y"], "classes"), Path(folder) / "parts", seed)
        for part in (parts.calibration, parts.selection, parts.evaluation):
            if part is None or len(sizes) > count // 2:
                continue
            held = part.load_labels()
            assert held is not None
            assert np.array_equal(held, labels[part.load()["x"].astype(int)])
            expected = len(part) * np.array(sizes) / count
            assert np.all(np.abs(np.bincount(held, minlength=len(sizes)) - expected) <= 2)


def test_another_seed_gives_another_split(tmp_path: Path) -> None:
    samples = numbered(tmp_path, 50)
    one, other = (split3(samples, tmp_path / str(seed), seed).evaluation for seed in (1, 2))
    assert one is not None
    assert other is not None
    assert numbers(one) != numbers(other)


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 900))
def test_golden_samples_are_drawn_without_repeats(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = numbered(Path(folder), count)
        chosen = numbers(golden_subset(samples, Path(folder) / "golden", 0))
        assert len(chosen) == len(set(chosen)) == min(count, GOLDEN_SAMPLES)
        assert set(chosen) <= set(range(count))


def test_golden_samples_keep_to_their_size(tmp_path: Path) -> None:
    large = np.zeros((4, 6 << 20), dtype=np.float32)  # 24 MiB each
    samples = Samples(save_arrays(tmp_path, "a", {"x": large}), None, "large")
    assert len(golden_subset(samples, tmp_path / "golden", 0)) == 2


def test_arrays_go_through_an_npz_unchanged(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {"a/b": np.arange(6).reshape(2, 3), "c": np.array([1.5], np.float32)}
    save_npz(tmp_path / "made.npz", arrays.items())
    save_npz(tmp_path / "again.npz", arrays.items())
    with np.load(tmp_path / "made.npz") as loaded:
        assert {name: loaded[name].tolist() for name in loaded.files} == {k: v.tolist() for k, v in arrays.items()}
    assert (tmp_path / "made.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_labels_without_data_to_hold_them_are_refused() -> None:
    with pytest.raises(UsageError) as error:
        refuse_labels_without(None, "y")
    assert error.value.code == "labels-without-data"
    refuse_labels_without("d.npz", "y")
