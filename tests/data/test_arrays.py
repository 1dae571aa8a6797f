"""Array files: what fits is mapped, what does not is refused with its likely cause."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.checks import check_names
from edgekit.data.read import read_samples
from edgekit.errors import DataError
from edgekit.samples import Samples, split3
from edgekit.types import Signature, TensorSpec
from edgekit.workbench import Workbench

X = Signature((TensorSpec("x", (None, 3), "float32"),), ())
IMAGE = Signature((TensorSpec("image", (None, 8, 6, 3), "float32"),), ())


def test_memory_does_not_grow_with_the_data(bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(20_000, 1000))  # 76 MiB
    array[:] = 1.0
    array.flush()
    signature = Signature((TensorSpec("x", (None, 1000), "float32"),), ())
    tracemalloc.start()
    try:
        samples = read_samples(path, bench, signature)
        split3(samples, tmp_path / "parts", 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(samples) == 20_000
    assert peak < 8 << 20


def test_labels_are_never_inputs(bench: Workbench, tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=np.zeros((4, 3), np.float32), label=np.arange(4))
    samples = read_samples(data, bench, X, "label")
    assert list(samples.arrays) == ["x"]
    assert numbers_of(samples) == [0, 1, 2, 3]
    spared = read_samples(data, bench, X, spare="label")
    assert list(spared.arrays) == ["x"]
    assert spared.labels is None
    with pytest.raises(DataError, match="one array for each input"):
        read_samples(data, bench, X)


def numbers_of(samples: Samples) -> list[int]:
    labels = samples.load_labels()
    return [] if labels is None else labels.tolist()


def test_an_npy_is_the_only_input(bench: Workbench, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 3), np.float32))
    assert list(read_samples(tmp_path / "x.npy", bench, X).arrays) == ["x"]
    two = Signature((*X.inputs, TensorSpec("z", (None, 3), "float32")), ())
    with pytest.raises(DataError, match="one array without a name"):
        read_samples(tmp_path / "x.npy", bench, two)


def test_a_hostile_member_name_writes_nothing_outside(bench: Workbench, tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    array = tmp_path / "a.npy"
    np.save(array, np.zeros((4, 3), np.float32))
    with zipfile.ZipFile(data, "w") as archive:
        archive.write(array, "../../outside.npy")
    with pytest.raises(DataError, match="one array for each input"):
        read_samples(data, bench, X)
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_sample_that_is_not_finite_is_named(bad: float, bench: Workbench, tmp_path: Path) -> None:
    array = np.zeros((700, 3), np.float32)
    array[513, 1] = bad
    np.savez(tmp_path / "data.npz", x=array)
    with pytest.raises(DataError, match="in sample 513"):
        read_samples(tmp_path / "data.npz", bench, X)


@pytest.mark.parametrize(
    ("shape", "signature", "says"),
    [
        ((8, 6, 3), IMAGE, "no axis of samples"),
        ((4, 3, 8, 6), IMAGE, "channels first"),
        ((4, 8, 6, 3), Signature((TensorSpec("image", (None, 3, 8, 6), "float32"),), ()), "channels last"),
        ((4, 8, 6), Signature((TensorSpec("image", (None, 8, 6, 1), "float32"),), ()), "no axis of channels"),
        ((4, 9, 6, 3), IMAGE, "another shape"),
    ],
)
def test_a_wrong_shape_is_told_with_its_cause(
    shape: tuple[int, ...], signature: Signature, says: str, bench: Workbench, tmp_path: Path
) -> None:
    np.save(tmp_path / "image.npy", np.zeros(shape, np.float32))
    with pytest.raises(DataError, match=says) as caught:
        read_samples(tmp_path / "image.npy", bench, signature)
    assert caught.value.code == "wrong-shape"


def test_the_hint_of_a_transposed_shape_mends_it(bench: Workbench, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(4, 3, 8, 6)).astype(np.float32)
    np.save(tmp_path / "first.npy", array)
    with pytest.raises(DataError) as caught:
        read_samples(tmp_path / "first.npy", bench, IMAGE)
    mended = eval(caught.value.hint.removeprefix("Use ").removesuffix("."), {"array": array})
    np.save(tmp_path / "last.npy", mended)
    assert len(read_samples(tmp_path / "last.npy", bench, IMAGE)) == 4


def test_another_dtype_is_refused(bench: Workbench, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.zeros((4, 8, 6, 3), np.uint8))
    with pytest.raises(DataError, match="has dtype float32") as caught:
        read_samples(tmp_path / "image.npy", bench, IMAGE)
    assert caught.value.received == "4x8x6x3:uint8"


def test_labels_of_another_length_are_refused(bench: Workbench, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3), np.float32), label=np.arange(5))
    with pytest.raises(DataError) as caught:
        read_samples(tmp_path / "d.npz", bench, X, "label")
    assert caught.value.received == "x: 4, labels: 5"


def test_an_input_column_that_is_the_labels_is_refused(bench: Workbench, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 60)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    np.savez(tmp_path / "fair.npz", x=x, label=label)
    assert len(read_samples(tmp_path / "fair.npz", bench, X, "label")) == 60
    x[:, 1] = label
    np.savez(tmp_path / "leak.npz", x=x, label=label)
    with pytest.raises(DataError, match="holds the labels themselves") as caught:
        read_samples(tmp_path / "leak.npz", bench, X, "label")
    assert caught.value.received == "column 1 of x equals the labels in all 60 samples"


def test_a_column_may_agree_with_few_labels_by_chance(bench: Workbench, tmp_path: Path) -> None:
    label = np.array([0, 1, 1, 0])
    np.savez(tmp_path / "few.npz", x=np.stack([label] * 3, axis=1).astype(np.float32), label=label)
    assert len(read_samples(tmp_path / "few.npz", bench, X, "label")) == 4


def test_labels_that_name_an_input_are_refused(bench: Workbench, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3), np.float32))
    with pytest.raises(DataError) as caught:
        read_samples(tmp_path / "d.npz", bench, X, "x")
    assert caught.value.code == "labels-in-inputs"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("absent.npz", "no-data-file"),
        ("absent.csv?separator=;", "no-data-file"),
        ("d.txt", "unknown-data-form"),
        ("d.npz?scale=1", "bad-data-option"),
        ("d.npz?scale=1&scale=2", "bad-data-option"),
        ("absent.py:batches", "no-code-file"),
        ("no.such.package:batches", "no-code-file"),
    ],
)
def test_what_is_no_data_is_refused(
    name: str, code: str, bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", x=np.zeros((4, 3), np.float32))
    Path("d.txt").write_text("1 2 3")
    with pytest.raises(DataError) as caught:
        read_samples(name, bench, X)
    assert caught.value.code == code


def test_a_file_whose_name_holds_a_question_mark_is_that_file(bench: Workbench, tmp_path: Path) -> None:
    np.save(tmp_path / "x?scale=1.npy", np.zeros((4, 3), np.float32))
    assert len(read_samples(tmp_path / "x?scale=1.npy", bench, X)) == 4


def test_an_array_that_may_be_the_labels_is_named_in_the_hint() -> None:
    image = TensorSpec("image", (None, 2), "float32")
    arrays: dict[str, np.ndarray] = {"image": np.zeros((3, 2), np.float32), "digit": np.zeros(3)}
    with pytest.raises(DataError) as caught:
        check_names(Signature((image,), ()), arrays, "test.npz")
    assert "--labels digit" in caught.value.hint
