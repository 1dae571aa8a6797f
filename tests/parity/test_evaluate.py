"""Labels against real outputs on disk, and engines that do not compute in what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.parity.evaluate import Reference, _not_pinned, check_labels, task_accuracy
from edgekit.runtimes import OpenOptions
from edgekit.types import Effective, Reading, Signature, TensorSpec

Array = NDArray[Any]
CLASSES = np.arange(200) % 4
PROBABILITIES = np.eye(4, dtype=np.float32)[CLASSES]


def stored(folder: Path, outputs: Mapping[str, Array]) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, array in outputs.items():
        np.save(folder / f"{name}.npy", array)
    return {name: folder / f"{name}.npy" for name in outputs}


def reference(folder: Path, outputs: Mapping[str, Array], labels: Array | None) -> Reference:
    specs = tuple(TensorSpec(name, (None, *array.shape[1:]), str(array.dtype)) for name, array in outputs.items())
    files = stored(folder / "source", outputs)
    return Reference(Signature((), specs), {}, files, dict.fromkeys(outputs, 0.0), {}, "real", labels)


def test_labels_are_checked_with_the_source_alone(tmp_path: Path) -> None:
    box = np.zeros((200, 4), np.float32)
    check_labels(reference(tmp_path, {"box": box, "class": PROBABILITIES}, CLASSES))
    check_labels(reference(tmp_path, {"box": box[..., None]}, None))
    with pytest.raises(DataError, match="0 to 3, but labels go from 1 to 4"):
        check_labels(reference(tmp_path, {"class": PROBABILITIES}, CLASSES + 1))
    with pytest.raises(DataError, match="one class per sample"):
        check_labels(reference(tmp_path, {"class": PROBABILITIES}, PROBABILITIES))
    with pytest.raises(UsageError, match="accuracy needs an output"):
        check_labels(reference(tmp_path, {"box": box[..., None]}, CLASSES))


def test_accuracy_is_that_of_the_output_with_classes(tmp_path: Path) -> None:
    source: dict[str, Array] = {"box": np.random.default_rng(0).normal(size=(200, 4)), "class": PROBABILITIES}
    wrong = PROBABILITIES.copy()
    wrong[:50] = np.roll(wrong[:50], 1, axis=1)
    judged = task_accuracy(
        reference(tmp_path, source, CLASSES), stored(tmp_path / "got", {**source, "class": wrong}), 0.1
    )
    assert judged is not None
    assert (judged.verdict, judged.accuracy.value, judged.accuracy.source_value) == ("failed", 0.75, 1.0)


def test_accuracy_of_a_sigmoid(tmp_path: Path) -> None:
    single = (0.1 + 0.8 * (CLASSES[:, None] % 2)).astype(np.float32)
    known = reference(tmp_path, {"risk": single}, CLASSES % 2)
    judged = task_accuracy(known, stored(tmp_path / "got", {"risk": single + np.float32(0.2)}), None)
    assert judged is not None
    assert judged.accuracy.value == 1.0


@pytest.mark.parametrize("got", [{}, {"class": PROBABILITIES[:100]}])
def test_an_output_that_fails_parity_by_its_form_has_no_accuracy(tmp_path: Path, got: dict[str, Array]) -> None:
    known = reference(tmp_path, {"class": PROBABILITIES}, CLASSES)
    assert task_accuracy(known, stored(tmp_path / "got", got), 0.1) is None


@pytest.mark.parametrize(
    ("precision", "asked", "ran", "how", "doubts"),
    [
        ("fp32", "f32", "bf16+f32", "engine", ("asked for f32, the engine computed in bf16+f32.",)),
        ("fp32", "f32", "f16", "engine", ("asked for f32, the engine computed in f16.",)),
        ("fp32", "f32", "f32", "engine", ()),
        ("fp32", "f32", "f16", "inferred", ()),
        ("fp32", None, "bf16", "engine", ()),
        ("fp32", "f32", None, "not reported", ()),
        ("fp16", "f32", "f16", "engine", ()),
    ],
)
def test_an_engine_that_does_not_compute_as_asked_is_a_doubt(
    precision: str,
    asked: str | None,
    ran: str | None,
    how: Literal["engine", "inferred", "not reported"],
    doubts: tuple[str, ...],
) -> None:
    effective = Effective(Reading(ran, how), Reading("GPU", "engine"))
    assert _not_pinned(precision, OpenOptions(precision=asked), effective) == doubts
