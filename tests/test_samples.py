"""Samples: what is set aside stays aside, and size on disk is not size in memory."""

from __future__ import annotations

import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, UsageError
from edgekit.samples import (
    GOLDEN_SAMPLES,
    Samples,
    calibration_subset,
    golden_subset,
    read_samples,
    refuse_labels_without,
    save_arrays,
    save_npz,
    split,
)
from edgekit.types import Signature, TensorSpec

X = Signature((TensorSpec("x", (None, 3), "float32"),), ())


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
@given(count=st.integers(2, 700), seed=st.integers(0, 2**31))
def test_a_split_is_disjoint_complete_and_seeded(count: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = numbered(Path(folder), count)
        calibration, evaluation = split(samples, Path(folder) / "one", seed)
        again = split(samples, Path(folder) / "two", seed)
        assert sorted(numbers(calibration) + numbers(evaluation)) == list(range(count))
        assert len(evaluation) == max(1, round(count / 3))
        assert [numbers(part) for part in again] == [numbers(calibration), numbers(evaluation)]


def test_another_seed_gives_another_split(tmp_path: Path) -> None:
    samples = numbered(tmp_path, 50)
    one, other = (numbers(split(samples, tmp_path / str(seed), seed)[1]) for seed in (1, 2))
    assert one != other


def test_one_sample_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two"):
        split(numbered(tmp_path, 1), tmp_path / "parts", 0)


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 900))
def test_subsets_are_drawn_without_repeats(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = numbered(Path(folder), count)
        for name, subset, most in (("c", calibration_subset, 300), ("g", golden_subset, GOLDEN_SAMPLES)):
            chosen = numbers(subset(samples, Path(folder) / name, 0))
            assert len(chosen) == len(set(chosen)) == min(count, most)
            assert set(chosen) <= set(range(count))


def test_golden_samples_keep_to_their_size(tmp_path: Path) -> None:
    large = np.zeros((4, 6 << 20), dtype=np.float32)  # 24 MiB each
    samples = Samples(save_arrays(tmp_path, "a", {"x": large}), None, "large")
    assert len(golden_subset(samples, tmp_path / "golden", 0)) == 2


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(20_000, 1000))  # 76 MiB
    array[:] = 1.0
    array.flush()
    signature = Signature((TensorSpec("x", (None, 1000), "float32"),), ())
    tracemalloc.start()
    try:
        samples = read_samples(path, tmp_path / "read", signature)
        split(samples, tmp_path / "parts", 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(samples) == 20_000
    assert peak < 8 << 20


def test_labels_are_never_inputs(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=np.zeros((4, 3), np.float32), label=np.arange(4))
    samples = read_samples(data, tmp_path / "a", X, "label")
    assert list(samples.arrays) == ["x"]
    assert numbers_of(samples) == [0, 1, 2, 3]
    spared = read_samples(data, tmp_path / "b", X, spare="label")
    assert list(spared.arrays) == ["x"]
    assert spared.labels is None
    with pytest.raises(DataError, match="one array for each input"):
        read_samples(data, tmp_path / "c", X)


def numbers_of(samples: Samples) -> list[int]:
    labels = samples.load_labels()
    return [] if labels is None else labels.tolist()


def test_an_npy_is_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 3), np.float32))
    assert list(read_samples(tmp_path / "x.npy", tmp_path / "a", X).arrays) == ["x"]
    two = Signature((*X.inputs, TensorSpec("z", (None, 3), "float32")), ())
    with pytest.raises(DataError, match="one array without a name"):
        read_samples(tmp_path / "x.npy", tmp_path / "b", two)


def test_a_hostile_member_name_writes_nothing_outside(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    array = tmp_path / "a.npy"
    np.save(array, np.zeros((4, 3), np.float32))
    with zipfile.ZipFile(data, "w") as archive:
        archive.write(array, "../../outside.npy")
    with pytest.raises(DataError, match="one array for each input"):
        read_samples(data, tmp_path / "deep" / "folder", X)
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_sample_that_is_not_finite_is_named(bad: float, tmp_path: Path) -> None:
    array = np.zeros((700, 3), np.float32)
    array[513, 1] = bad
    np.savez(tmp_path / "data.npz", x=array)
    with pytest.raises(DataError, match="in sample 513"):
        read_samples(tmp_path / "data.npz", tmp_path / "a", X)


def test_arrays_go_through_an_npz_unchanged(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {"a/b": np.arange(6).reshape(2, 3), "c": np.array([1.5], np.float32)}
    save_npz(tmp_path / "made.npz", arrays.items())
    save_npz(tmp_path / "again.npz", arrays.items())
    with np.load(tmp_path / "made.npz") as loaded:
        assert {name: loaded[name].tolist() for name in loaded.files} == {k: v.tolist() for k, v in arrays.items()}
    assert (tmp_path / "made.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


@pytest.mark.parametrize(
    ("data", "labels", "drop", "code"),
    [
        (None, "y", None, "labels-without-data"),
        ("d.npz", None, 0.1, "drop-without-labels"),
        ("d.npz", "y", 5.0, "bad-drop"),
        ("d.npz", "y", -0.1, "bad-drop"),
    ],
)
def test_options_about_labels_that_would_do_nothing(
    data: str | None, labels: str | None, drop: float | None, code: str
) -> None:
    with pytest.raises(UsageError) as error:
        refuse_labels_without(data, labels, drop)
    assert error.value.code == code
