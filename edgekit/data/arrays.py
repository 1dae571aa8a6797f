"""Arrays in ``.npz`` and ``.npy`` files: mapped where they lie, or unpacked; never pickled objects."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import DataError
from edgekit.jobs.disk import writing
from edgekit.samples import Samples, mapped
from edgekit.types import Signature


def read_arrays(
    path: Path, folder: Path, signature: Signature | None, labels: str | None, spare: str | None
) -> Samples:
    """Samples of an array file. This form alone needs no process of its own: numpy reads it as it is.

    Args:
        path: an ``.npz`` with arrays by input name, or an ``.npy`` for a model with one input.
        folder: an empty folder for the arrays.
        signature: what the model takes; None where only the engine knows.
        labels: name of the array that holds the labels.
        spare: name of an array that may be there and is no input.

    Raises:
        DataError: no array file, pickled objects, no such labels, or an ``.npy`` for a model with several inputs.
    """
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
    return Samples(members, label_path, str(path))


def _members(path: Path, folder: Path, signature: Signature | None) -> Iterator[tuple[str, Path]]:
    if path.suffix.lower() == ".npy":
        if signature is None or len(signature.inputs) != 1:
            takes = "an input of unknown name" if signature is None else ", ".join(map(str, signature.inputs))
            raise DataError(
                "one-array",
                f"an .npy holds one array without a name, but the model takes {takes}.",
                received=path.name,
                hint="Save one array per input with numpy.savez.",
            )
        mapped(path)
        yield signature.inputs[0].name, path.resolve()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for index, member in enumerate(archive.namelist()):
                target = folder / f"{index}.npy"  # a member's name is no safe file name
                with archive.open(member) as packed, writing(target), target.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
                mapped(target)
                yield member.removesuffix(".npy"), target
    except zipfile.BadZipFile as err:
        raise DataError(
            "not-an-array-file",
            f"{path.name} is no .npz or .npy file, or it is truncated.",
            hint="Write it with numpy.savez.",
        ) from err
