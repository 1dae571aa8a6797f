"""Samples: the user's data, materialised once as one ``.npy`` per input, memory-mapped from then on."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.errors import DataError, UsageError

#: At most this many golden samples, and at most this many bytes of them.
GOLDEN_SAMPLES = 32
GOLDEN_BYTES = 64 << 20

#: Share of ``--data`` that is set aside for evaluation where no ``--eval-data`` is given.
EVALUATION_SHARE = 1 / 3

#: Share of the samples that are left for calibration which is set aside for choosing settings, and most of them.
SELECTION_SHARE = 1 / 3
SELECTION_SAMPLES = 300

#: Most different integers that labels may hold to count as classes when samples are split.
_CLASSES = 1000

#: Rows copied at a time, so that memory does not grow with the data set.
_ROWS = 256


@dataclass(frozen=True, slots=True)
class Samples:
    """Real samples on disk.

    Attributes:
        arrays: one ``.npy`` per input name, samples first.
        labels: integer classes or values, ``(samples, ...)``, or None.
        origin: where they came from, for messages.
    """

    arrays: Mapping[str, Path]
    labels: Path | None
    origin: str

    def __len__(self) -> int:
        return min(len(array) for array in self.load().values())

    def load(self) -> dict[str, np.ndarray]:
        """Memory-mapped arrays."""
        return {name: mapped(path) for name, path in self.arrays.items()}

    def load_labels(self) -> np.ndarray | None:
        return None if self.labels is None else mapped(self.labels)

    def take(self, indices: np.ndarray, folder: Path) -> Samples:
        """Some of the samples, copied into ``folder``."""
        arrays = {name: _copy_rows(path, indices, folder) for name, path in self.arrays.items()}
        labels = None if self.labels is None else _copy_rows(self.labels, indices, folder)
        return Samples(arrays, labels, self.origin)


def refuse_labels_without(data: str | Path | None, labels: str | None) -> None:
    """Refuse labels where there are no data to hold them.

    Raises:
        UsageError: labels without data.
    """
    if labels is not None and data is None:
        raise UsageError(
            "labels-without-data",
            "--labels names an array of the data, but there is none.",
            received=labels,
            hint="Give --data.",
        )


@dataclass(frozen=True, slots=True)
class Parts:
    """Samples for three purposes; no sample is in two of them.

    Attributes:
        calibration: to measure ranges on.
        selection: to choose settings on; None where there are too few samples.
        evaluation: to judge on; None where it was not asked for.
        notes: what could not be had, with the numbers.
    """

    calibration: Samples
    selection: Samples | None
    evaluation: Samples | None
    notes: tuple[str, ...] = ()


def split3(samples: Samples, folder: Path, seed: int, *, evaluate: bool = True) -> Parts:
    """Split samples into calibration, selection and evaluation.

    The order is shuffled with the seed; every part holds the classes of integer labels in their proportion, as far as
    whole samples allow. Evaluation gets a third; of the rest selection gets a third, at most `SELECTION_SAMPLES`.

    Args:
        samples: to split.
        folder: receives the parts.
        seed: of the order.
        evaluate: set some aside for evaluation; not where other data serve for that.

    Raises:
        DataError: fewer than two samples where some are set aside for evaluation.
    """
    order = _shuffled(samples, seed)
    evaluation = _evaluation_count(len(samples)) if evaluate else 0
    rest = order[evaluation:]
    selection = min(round(len(rest) * SELECTION_SHARE), SELECTION_SAMPLES)
    notes = []
    if not selection:
        notes.append(f"{len(samples)} samples are too few to set some aside for choosing settings.")

    def part(name: str, indices: np.ndarray) -> Samples | None:
        return samples.take(np.sort(indices), _subfolder(folder, name)) if len(indices) else None

    return Parts(
        calibration=samples.take(rest[selection:], _subfolder(folder, "calibration")),
        selection=part("selection", rest[:selection]),
        evaluation=part("evaluation", order[:evaluation]),
        notes=tuple(notes),
    )


def _evaluation_count(count: int) -> int:
    if count < 2:
        raise DataError(
            "too-few-samples",
            "the data should hold at least two samples, one to evaluate on.",
            received=str(count),
            hint="Add data, or give --eval-data.",
        )
    return max(1, round(count * EVALUATION_SHARE))


def _shuffled(samples: Samples, seed: int) -> np.ndarray:
    """Indices of all samples in an order of which every stretch holds the classes in their proportion.

    Within a class the order is random; the members of each class are spread evenly (systematic sampling).
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(samples))
    classes = _classes(samples.load_labels())
    if classes is None:
        return order
    place = np.empty(len(order))
    for number in np.unique(classes):
        members = order[classes[order] == number]
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return order[np.argsort(place[order], kind="stable")]


def _classes(labels: np.ndarray | None) -> np.ndarray | None:
    """One class per sample; None where the labels are values, or all differ."""
    if labels is None or labels.dtype.kind not in "iub" or labels.size != len(labels):
        return None
    classes = np.asarray(labels).reshape(-1)
    different = len(np.unique(classes))
    return classes if 1 < different <= min(_CLASSES, len(classes) // 2) else None


def golden_rows(arrays: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
    """Which of these samples a kit keeps: at most `GOLDEN_SAMPLES` within `GOLDEN_BYTES`, at least one; in order."""
    sample_bytes = sum(array[:1].nbytes for array in arrays.values())
    samples = min(len(array) for array in arrays.values())
    count = max(1, min(samples, GOLDEN_SAMPLES, GOLDEN_BYTES // max(1, sample_bytes)))
    return np.sort(np.random.default_rng(seed).permutation(samples)[:count])


def golden_subset(samples: Samples, folder: Path, seed: int) -> Samples:
    """As many samples as a kit keeps."""
    return samples.take(golden_rows(samples.load(), seed), _subfolder(folder, "golden"))


def mapped(path: Path) -> np.ndarray:
    """A memory-mapped array.

    Raises:
        DataError: no array file, or one of pickled objects.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as err:
        raise DataError(
            "not-an-array-file",
            f"{path.name} is no array, or it holds pickled objects.",
            hint="Save plain numeric arrays.",
        ) from err
    return array


def _copy_rows(path: Path, indices: np.ndarray, folder: Path) -> Path:
    source = mapped(path)
    target = folder / path.name
    copied = np.lib.format.open_memmap(target, mode="w+", dtype=source.dtype, shape=(len(indices), *source.shape[1:]))
    for start in range(0, len(indices), _ROWS):
        copied[start : start + _ROWS] = source[indices[start : start + _ROWS]]
    copied.flush()
    return target


def _subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    return made


def save_arrays(folder: Path, prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Path]:
    """Write arrays by name as ``.npy`` files."""
    paths = {}
    for index, (name, array) in enumerate(arrays.items()):
        paths[name] = folder / f"{prefix}-{index}.npy"  # names of tensors are no safe file names
        np.save(paths[name], array, allow_pickle=False)
    return paths


def save_npz(path: Path, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write arrays by name, one at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
