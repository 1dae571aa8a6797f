"""What host and worker say to each other. Part of the device core.

The host writes one JSON line per job to the worker's stdin::

    {"schema": "edgekit.job/1", "id": "0001", "job": "edgekit.runtimes.jobs:RunJob", "message": {...}}

and reads JSON lines from its stdout until one of them is ``result`` or ``error``::

    {"event": "progress", "stage": "calibrate", "done": 32, "total": 300}
    {"event": "result", "result": {...}}
    {"event": "error", "type": "JobFailed", "code": "...", "message": "...", "received": null, "hint": "...",
     "traceback": "..."}

A message holds no array and no absolute path: it names blobs. The transport has placed them in the job's
folder, ``<worker's folder>/<id>/``, and the blobs that a result names are in the same folder.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Generic, Optional, TypeVar, get_type_hints

from edgekit.errors import InternalError, UsageError
from edgekit.jobs.codec import from_json, to_json
from edgekit.types import Blob

SCHEMA = "edgekit.job/1"

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        stage: what it does now.
        done, total: units of work; both zero where they are not known.
    """

    stage: str
    done: int = 0
    total: int = 0


class Workspace:
    """A job's folder, as the job sees it."""

    def __init__(self, folder: Path, report: Callable[[Progress], None]) -> None:
        self.folder = folder
        self.progress = report

    def path(self, blob: Blob) -> Path:
        """Where a blob named by the message lies."""
        return file_in(self.folder, blob)

    def blob(self, name: str) -> Blob:
        """Name a file that the job wrote in its folder, so that the result can hold it."""
        return blob_of(self.folder / name)


class Job(ABC, Generic[T]):
    """One unit of isolated work: a frozen dataclass whose fields are its message."""

    @abstractmethod
    def run(self, work: Workspace) -> T:
        """Do the work. The annotation of the return value is the type of the result."""

    @classmethod
    def result_type(cls) -> type[T]:
        result: type[T] = get_type_hints(cls.run)["return"]
        return result


def encode_job(job: Job[Any], job_id: str) -> dict[str, Any]:
    """The envelope of a job."""
    name = f"{type(job).__module__}:{type(job).__qualname__}"
    return {"schema": SCHEMA, "id": job_id, "job": name, "message": to_json(job)}


def decode_job(envelope: dict[str, Any]) -> Job[Any]:
    """The job in an envelope.

    Raises:
        InternalError: another protocol version, an unknown field, or a name that is no job.
    """
    if envelope.get("schema") != SCHEMA:
        raise InternalError(
            "protocol-version",
            f"this worker speaks {SCHEMA}.",
            received=str(envelope.get("schema")),
            hint="Use the same version of edgekit on both sides.",
        )
    module, _, name = str(envelope["job"]).partition(":")
    kind = getattr(import_module(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, Job)):
        raise InternalError("not-a-job", f"{envelope['job']} is no job.", hint="Report this as a bug.")
    return from_json(kind, envelope["message"])


def blob_of(path: Path, name: Optional[str] = None) -> Blob:
    """The blob of a file, read once in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return Blob(digest.hexdigest(), name or path.name, path.stat().st_size)


def file_in(folder: Path, blob: Blob) -> Path:
    """Where a blob lies in a folder.

    Raises:
        UsageError: its name leads out of the folder; names come from kits and messages that others may have written.
    """
    if blob.name in ("", ".", "..") or Path(blob.name).name != blob.name or "\0" in blob.name:
        raise UsageError(
            "bad-file-name",
            "a file of a kit or message should have a plain name, without folders.",
            received=repr(blob.name),
            hint="The kit or message was changed: export the model again.",
        )
    return folder / blob.name


def blobs_in(value: Any) -> tuple[Blob, ...]:
    """Every blob that a message or a result names."""
    if isinstance(value, Blob):
        return (value,)
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return tuple(blob for item in value for blob in blobs_in(item))
    return ()
