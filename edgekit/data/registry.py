"""Which forms of data there are. A form is one function and one row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgekit.data.spec import DataSpec
from edgekit.errors import DataError
from edgekit.jobs.code import Code
from edgekit.jobs.protocol import Progress
from edgekit.registry import Registry, Row
from edgekit.types import Signature

#: Some samples: one array per input name, ``(samples, ...)``, and their labels or None.
Piece = tuple[dict[str, np.ndarray], np.ndarray | None]


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What a form reads.

    Attributes:
        text: what the user gave, for messages.
        path: the file or folder.
        code: the function that yields batches, for the form ``code``.
        options: those of the row that were given.
        signature: of the model; its batch is free.
        labels: name of the labels, or None where they are not wanted.
        spare: name of labels that may be there and are no input.
        progress: tells the host how far it is.
    """

    text: str
    path: Path
    code: Code | None
    options: Mapping[str, str]
    signature: Signature
    labels: str | None
    spare: str | None
    progress: Callable[[Progress], None]


class Read(Protocol):
    """The function of a form: pieces in order, each small enough for memory; it runs in a process of its own.

    Raises:
        DataError: what it cannot read, by the name of the file, row or column.
    """

    def __call__(self, request: ReadRequest) -> Iterator[Piece]: ...


@dataclass(frozen=True)
class FormRow(Row):
    """A form of data, described without importing what reads it.

    Attributes:
        what: it is, in words.
        suffixes: of its files; none for folders and code.
        options: that may stand behind the question mark.
    """

    what: str = ""
    suffixes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


#: How pictures become arrays.
_PICTURE = ("scale", "mean", "std", "fit", "size", "layout", "limit")

#: How the columns of a text file are found.
_TEXT = ("columns", "separator")

FORMS = Registry[FormRow](
    "form of data",
    "edgekit.data",
    (
        FormRow("arrays", "edgekit.data.arrays:read_arrays", "", (), "arrays", (".npz", ".npy")),
        FormRow("images", "edgekit.data.images:read", "data", ("PIL",), "a folder of images", (), _PICTURE),
        FormRow(
            "csv",
            "edgekit.data.tables:read",
            "data",
            ("polars",),
            "a table",
            (".csv", ".tsv"),
            ("columns", "separator"),
        ),
        FormRow("parquet", "edgekit.data.tables:read", "data", ("polars",), "a table", (".parquet",), ("columns",)),
        FormRow("code", "edgekit.data.factory:read", "", (), "code that yields batches", (), ("limit",)),
    ),
)


def form_of(spec: DataSpec) -> FormRow:
    """The form of some data.

    Raises:
        DataError: no known form, or an option that the form does not have.
    """
    if spec.code is not None:
        row = FORMS["code"]
    elif spec.path.is_dir():
        row = FORMS["images"]
    else:
        found = next((row for row in FORMS if spec.path.suffix.lower() in row.suffixes), None)
        if found is None:
            suffixes = ", ".join(suffix for row in FORMS for suffix in row.suffixes)
            raise DataError(
                "unknown-data-form",
                "edgekit does not know this form of data.",
                received=spec.text,
                hint=f"Give one of: {suffixes}, a folder of images, or code as file.py:function.",
            )
        row = found
    for name in spec.options:
        if name not in row.options:
            able = ", ".join(f"{option}=" for option in row.options)
            raise DataError(
                "bad-data-option",
                f"{row.what} has no option {name}=.",
                received=spec.text,
                hint=f"Its options: {able}." if able else "It has no options.",
            )
    return row
