"""Code that yields batches, of every framework, streamed to disk."""

from __future__ import annotations

import shutil
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.read import read_samples
from edgekit.errors import DataError, MissingError, UsageError
from edgekit.types import Signature, TensorSpec
from edgekit.workbench import Workbench
from tests.data import batches

BATCHES = Path(__file__).with_name("batches.py")
X = Signature((TensorSpec("x", (None, 3), "float32"),), ())
WIDE = Signature((TensorSpec("x", (None, 1000), "float32"),), ())


TORCH = util.find_spec("torch") is not None


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(BATCHES, "mine.py")
    return tmp_path / "mine.py"


@pytest.mark.parametrize(
    "factory",
    [
        "dicts",
        "pairs",
        "nested",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("jax_values", "keras_dataset", *(("torch_loader", "torch_dataset") if TORCH else ()))
        ),
    ],
)
def test_every_kind_of_batches_gives_the_same_samples(factory: str, code: Path, bench: Workbench) -> None:
    samples = read_samples(f"{code}:{factory}", bench, X, "kind")
    np.testing.assert_array_equal(samples.load()["x"], batches.X)
    np.testing.assert_array_equal(samples.load_labels(), batches.Y)


@pytest.mark.parametrize("factory", ["dicts", "pairs", "whole"])
def test_labels_that_are_not_wanted_are_no_inputs(factory: str, code: Path, bench: Workbench) -> None:
    samples = read_samples(f"{code}:{factory}", bench, X, spare="kind")
    np.testing.assert_array_equal(samples.load()["x"], batches.X)
    assert samples.labels is None


@pytest.mark.tensorflow
@pytest.mark.skipif(util.find_spec("tensorflow") is None, reason="needs TensorFlow: make test-tensorflow")
def test_a_tensorflow_dataset_gives_the_same_samples(bench: Workbench, tmp_path: Path) -> None:
    shutil.copy(BATCHES, tmp_path / "mine.py")
    samples = read_samples(f"{tmp_path / 'mine.py'}:tensorflow_dataset", bench, X, "kind")
    np.testing.assert_array_equal(samples.load()["x"], batches.X)
    np.testing.assert_array_equal(samples.load_labels(), batches.Y)


@pytest.mark.skipif(util.find_spec("tensorflow") is not None, reason="it is installed")
def test_a_framework_that_is_not_installed_is_named(bench: Workbench, tmp_path: Path) -> None:
    shutil.copy(BATCHES, tmp_path / "mine.py")
    with pytest.raises(MissingError) as caught:
        read_samples(f"{tmp_path / 'mine.py'}:tensorflow_dataset", bench, X)
    assert caught.value.hint == "Run: pip install 'edgekit[tensorflow]'"


def test_a_module_is_found_and_files_open_where_the_user_called_from(code: Path, bench: Workbench) -> None:
    np.save("mine.npy", batches.X * 2)
    np.testing.assert_array_equal(read_samples("mine:from_file", bench, X).load()["x"], batches.X * 2)


def test_several_inputs_go_by_order_or_name(code: Path, bench: Workbench) -> None:
    two = Signature((TensorSpec("x", (None, 3), "float32"), TensorSpec("kind", (None,), "int64")), ())
    for factory in ("pairs", "dicts"):
        arrays = read_samples(f"{code}:{factory}", bench, two).load()
        np.testing.assert_array_equal(arrays["kind"], batches.Y)
        np.testing.assert_array_equal(arrays["x"], batches.X)


def test_an_endless_generator_ends_at_its_limit(code: Path, bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_samples(f"{code}:forever?limit=50", bench, X)) == 50
    monkeypatch.setenv("EDGEKIT_DATA_GB", "0.001")
    with pytest.raises(DataError, match=r"larger than 0\.001 GiB") as caught:
        read_samples(f"{code}:forever", bench, X)
    assert "?limit=" in caught.value.hint
    monkeypatch.setenv("EDGEKIT_DATA_GB", "much")
    with pytest.raises(UsageError, match="a number above zero"):
        read_samples(f"{code}:forever", bench, X)


def test_memory_does_not_grow_with_what_is_yielded(code: Path, bench: Workbench) -> None:
    samples = read_samples(f"{code}:large", bench, WIDE)
    array = samples.load()["x"]
    assert array.nbytes == 500_000_000
    assert [array[0, 0], array[-1, -1]] == [0, 249]
    assert 10 < int(Path("peak.txt").read_text()) < 150


@pytest.mark.parametrize(
    ("factory", "error", "says"),
    [
        ("growing", "wrong-shape", "20x2"),
        ("one_sample", "wrong-shape", "no axis of samples"),
        ("words", "not-an-array", "str"),
        ("nothing", "no-samples", "no samples"),
        ("number", "not-batches", "int"),
        ("raises", "code-raised", "the disk is gone (mine.py, line"),
        ("poisoned", "not-finite", "NaN in sample 27"),
        ("absent", "no-such-factory", "dicts"),
    ],
)
def test_code_that_yields_no_samples_is_told_why(
    factory: str, error: str, says: str, code: Path, bench: Workbench
) -> None:
    with pytest.raises(UsageError) as caught:
        read_samples(f"{code}:{factory}", bench, X)
    assert caught.value.code == error
    assert says in f"{caught.value} {caught.value.hint}"


def test_sequences_of_different_lengths_are_to_be_padded(code: Path, bench: Workbench) -> None:
    free = Signature((TensorSpec("x", (None, None), "float32"),), ())
    with pytest.raises(DataError, match="differ in shape") as caught:
        read_samples(f"{code}:sequences", bench, free)
    assert caught.value.received == "7:float32 from sample 2 on"


def test_labels_that_are_not_there_are_told(code: Path, bench: Workbench) -> None:
    with pytest.raises(DataError) as caught:
        read_samples(f"{code}:dicts", bench, X, "sort")
    assert caught.value.code == "wrong-input-names" or caught.value.code == "no-labels"
