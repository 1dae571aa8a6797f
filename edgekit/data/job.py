"""The job that reads data into arrays on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.checks import check_fits
from edgekit.data.registry import FORMS, Piece, Read, ReadRequest
from edgekit.data.stream import ArrayWriter
from edgekit.errors import DataError
from edgekit.jobs.code import Code
from edgekit.jobs.disk import writing
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.types import Blob, Signature

#: Where the worker finds the file or folder that the user named.
DATA_PATH = "EDGEKIT_DATA_PATH"


@dataclass(frozen=True)
class ReadResult:
    """Data on disk: one ``.npy`` per input name, samples first, and the labels or None."""

    arrays: dict[str, Blob]
    labels: Blob | None


@dataclass(frozen=True)
class ReadJob(Job[ReadResult]):
    """Read data in a form that needs a library or the user's code.

    Attributes:
        form: name in the registry.
        text: what the user gave.
        code: the function that yields batches, or None.
        options: of the form.
        signature: of the model.
        labels: name of the labels, or None where they are not wanted.
        spare: name of labels that may be there and are no input.
        most_bytes: limit of what is written.
    """

    form: str
    text: str
    code: Code | None
    options: dict[str, str]
    signature: Signature
    labels: str | None
    spare: str | None
    most_bytes: int

    def run(self, work: Workspace) -> ReadResult:
        read: Read = FORMS[self.form].load()
        signature = self.signature.with_batch(None)
        path = Path(os.environ.get(DATA_PATH, "."))
        request = ReadRequest(
            self.text, path, self.code, self.options, signature, self.labels, self.spare, work.progress
        )
        work.progress(Progress("read data"))
        names = [spec.name for spec in signature.inputs]
        with writing(work.folder):
            count = self._stream(read(request), work.folder, names)
        if not count:
            raise DataError("no-samples", "the data holds no samples.", received=self.text, hint="Add samples.")
        blobs = {name: work.blob(f"{index}.npy") for index, name in enumerate(names)}
        return ReadResult(blobs, None if self.labels is None else work.blob("labels.npy"))

    def _stream(self, pieces: Iterator[Piece], folder: Path, names: list[str]) -> int:
        """Write every piece; returns the number of samples."""
        written = 0
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(closing(ArrayWriter(folder / f"{index}.npy", name)))
                for index, name in enumerate(names)
            }
            labels = stack.enter_context(closing(ArrayWriter(folder / "labels.npy", "the labels")))
            for inputs, piece_labels in pieces:
                check_fits(self.signature, inputs, None if self.labels is None else piece_labels, self.text)
                if self.labels is not None and piece_labels is not None:
                    written += labels.append(piece_labels)
                for name, writer in writers.items():
                    written += writer.append(inputs[name])
                self._limit(written, writers[names[0]].count)
            return writers[names[0]].count

    def _limit(self, written: int, samples: int) -> None:
        if written > self.most_bytes:
            raise DataError(
                "too-much-data",
                f"the data is larger than {self.most_bytes / 2**30:.3g} GiB.",
                received=f"{written / 2**30:.2g} GiB in the first {samples} samples of {self.text}",
                hint="Take fewer samples, with ?limit=1000 behind a folder or code; or set EDGEKIT_DATA_GB.",
            )
