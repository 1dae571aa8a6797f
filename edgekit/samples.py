"""Samples: the user's data, materialised once as one ``.npy`` per input, memory-mapped from then on."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.errors import DataError, UsageError
from edgekit.runtimes.base import check_array
from edgekit.types import Signature

#: At most this many golden samples, and at most this many bytes of them.
GOLDEN_SAMPLES = 32
GOLDEN_BYTES = 64 << 20

#: Most calibration samples that a static quantizer is given.
CALIBRATION_SAMPLES = 300

#: Share of ``--data`` that is set aside for evaluation where no ``--eval-data`` is given.
EVALUATION_SHARE = 1 / 3

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
        return {name: _mapped(path) for name, path in self.arrays.items()}

    def load_labels(self) -> np.ndarray | None:
        return None if self.labels is None else _mapped(self.labels)

    def take(self, indices: np.ndarray, folder: Path) -> Samples:
        """Some of the samples, copied into ``folder``."""
        arrays = {name: _copy_rows(path, indices, folder) for name, path in self.arrays.items()}
        labels = None if self.labels is None else _copy_rows(self.labels, indices, folder)
        return Samples(arrays, labels, self.origin)


def read_samples(
    data: str | Path, folder: Path, signature: Signature | None, labels: str | None = None, *, spare: str | None = None
) -> Samples:
    """Materialise ``--data`` and check it against a model.

    Args:
        data: an ``.npz`` with arrays by input name, or an ``.npy`` for a model with one input.
        folder: an empty folder for the arrays.
        signature: what the model takes; None where only the engine knows, which then does the check.
        labels: name of the array in the ``.npz`` that holds the labels.
        spare: name of an array that may be there and is no input, such as labels that are not needed here.

    Raises:
        DataError: no such file, not an array file, pickled objects, names, shapes or dtypes that do not fit,
            arrays of different lengths, no samples, NaN or infinity.
    """
    path = Path(data)
    if not path.is_file():
        raise DataError(
            "no-data-file",
            "there is no such data file.",
            received=str(data),
            hint="Give an .npz or .npy file with --data.",
        )
    members = dict(_members(path, folder, signature))
    label_path = None
    if spare != labels:
        members.pop(spare or "", None)
    if labels is not None:
        if labels not in members:
            raise DataError(
                "no-labels",
                "--labels names no array of the data file.",
                received=labels,
                hint=f"It holds: {', '.join(members)}.",
            )
        label_path = members.pop(labels)
    samples = Samples(members, label_path, str(data))
    if signature is not None:
        check_samples(signature, samples)
    return samples


def refuse_labels_without(data: str | Path | None, labels: str | None, max_drop: float | None = None) -> None:
    """Refuse options about labels that would do nothing.

    Args:
        data: whatever may hold the labels.
        labels: name of the array with labels.
        max_drop: largest accepted loss of accuracy.

    Raises:
        UsageError: labels without data, or a limit without labels or outside 0 to 1.
    """
    if labels is not None and data is None:
        raise UsageError(
            "labels-without-data",
            "--labels names an array of the data, but there is none.",
            received=labels,
            hint="Give --data.",
        )
    if max_drop is None:
        return
    if labels is None:
        raise UsageError(
            "drop-without-labels",
            "--max-drop needs labels to measure accuracy.",
            received=str(max_drop),
            hint="Give --labels NAME.",
        )
    if not 0 <= max_drop <= 1:
        raise UsageError(
            "bad-drop",
            "--max-drop is a share between 0 and 1.",
            received=str(max_drop),
            hint="Example: --max-drop 0.005",
        )


def check_samples(signature: Signature, samples: Samples) -> None:
    """Refuse samples that a model cannot take or that would poison a calibration.

    Raises:
        DataError: says what was expected and what was received.
    """
    names = [spec.name for spec in signature.inputs]
    if set(samples.arrays) != set(names):
        raise DataError(
            "wrong-input-names",
            f"{samples.origin} should hold one array for each input: {', '.join(map(str, signature.inputs))}.",
            received=", ".join(samples.arrays) or "no arrays",
            hint=f"Name the arrays {', '.join(names)}; if one holds labels, say so with --labels NAME.",
        )
    arrays = samples.load()
    everything = {**arrays, **({} if samples.labels is None else {"labels": _mapped(samples.labels)})}
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in everything.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(
            "wrong-lengths",
            "all arrays of the data should hold the same number of samples, at least one.",
            received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            hint="The first axis of each array is the sample.",
        )
    free = signature.with_batch(None)
    for spec in free.inputs:
        check_array(spec, arrays[spec.name])
        _refuse_non_finite(spec.name, arrays[spec.name])


def split(samples: Samples, folder: Path, seed: int) -> tuple[Samples, Samples]:
    """Samples for calibration and, apart from them, for evaluation.

    The order is shuffled with the seed; evaluation gets a third.

    Raises:
        DataError: fewer than two samples.
    """
    count = len(samples)
    if count < 2:
        raise DataError(
            "too-few-samples",
            "the data should hold at least two samples, one to evaluate on.",
            received=str(count),
            hint="Add data.",
        )
    order = np.random.default_rng(seed).permutation(count)
    evaluation = max(1, round(count * EVALUATION_SHARE))
    held_out, rest = np.sort(order[:evaluation]), order[evaluation:]
    return samples.take(rest, _subfolder(folder, "calibration")), samples.take(
        held_out, _subfolder(folder, "evaluation")
    )


def calibration_subset(samples: Samples, folder: Path, seed: int) -> Samples:
    """At most `CALIBRATION_SAMPLES`, chosen with the seed."""
    if len(samples) <= CALIBRATION_SAMPLES:
        return samples
    chosen = np.random.default_rng(seed).permutation(len(samples))[:CALIBRATION_SAMPLES]
    return samples.take(chosen, _subfolder(folder, "subset"))


def golden_subset(samples: Samples, folder: Path, seed: int) -> Samples:
    """At most `GOLDEN_SAMPLES` within `GOLDEN_BYTES`, at least one."""
    sample_bytes = sum(array[:1].nbytes for array in samples.load().values())
    count = max(1, min(len(samples), GOLDEN_SAMPLES, GOLDEN_BYTES // max(1, sample_bytes)))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(samples))[:count])
    return samples.take(chosen, _subfolder(folder, "golden"))


def _members(path: Path, folder: Path, signature: Signature | None) -> Iterator[tuple[str, Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        if signature is None or len(signature.inputs) != 1:
            takes = "an input of unknown name" if signature is None else ", ".join(map(str, signature.inputs))
            raise DataError(
                "one-array",
                f"an .npy holds one array without a name, but the model takes {takes}.",
                received=path.name,
                hint="Save one array per input with numpy.savez.",
            )
        _mapped(path)
        yield signature.inputs[0].name, path.resolve()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for index, member in enumerate(archive.namelist()):
                target = folder / f"{index}.npy"  # a member's name is no safe file name
                with archive.open(member) as packed, target.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
                _mapped(target)
                yield member.removesuffix(".npy"), target
    except zipfile.BadZipFile as err:
        raise DataError(
            "not-an-array-file",
            f"{path.name} is no .npz or .npy file, or it is truncated.",
            hint="Write it with numpy.savez.",
        ) from err


def _mapped(path: Path) -> np.ndarray:
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
    source = _mapped(path)
    target = folder / path.name
    copied = np.lib.format.open_memmap(target, mode="w+", dtype=source.dtype, shape=(len(indices), *source.shape[1:]))
    for start in range(0, len(indices), _ROWS):
        copied[start : start + _ROWS] = source[indices[start : start + _ROWS]]
    copied.flush()
    return target


def _refuse_non_finite(name: str, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), _ROWS):
        piece = np.asarray(array[start : start + _ROWS])
        bad = ~np.isfinite(piece.reshape(len(piece), -1)).all(axis=1)
        if bad.any():
            kind = "NaN" if np.isnan(piece).any() else "an infinite value"
            raise DataError(
                "not-finite",
                f"input {name} holds {kind} in sample {start + int(np.argmax(bad))}.",
                received=f"{int(bad.sum())} such samples among the first {start + len(piece)}",
                hint="Remove or repair these samples: quantizers accept them in silence and make a broken model.",
            )


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
