"""Every error of edgekit. Part of the device core.

EdgekitError                 base: code, message, received, hint, exit_code
├── UsageError           2   bad usage or bad input
│   ├── ModelError       2   a model file or factory that cannot be used
│   └── DataError        2   samples that do not fit the model
├── MissingError         3   something needed is missing or unreachable
├── JobError             1   a job failed in its own process
│   ├── JobFailed        1   it raised
│   ├── JobCrashed       1   its process died
│   ├── JobTimedOut      1   it ran past its time limit
│   └── JobOutOfMemory   1   it ran past its memory limit
└── InternalError       70   a bug in edgekit

A check that fails is a result, not an error. Only the command line catches these.
"""

from __future__ import annotations

import re
from typing import ClassVar

_CODE = re.compile(r"[a-z]+(-[a-z0-9]+)*\Z")


class EdgekitError(Exception):
    """What happened, what was received, and what mends it.

    Attributes:
        code: kebab-case identifier, stable over versions.
        message: one plain sentence.
        received: what edgekit was given, or None where that says nothing.
        hint: a command or a choice that mends it.
        exit_code: the exit status of the command line.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, code: str, message: str, *, received: str | None = None, hint: str) -> None:
        assert _CODE.match(code), f"error codes are kebab-case: {code!r}"
        super().__init__(message)
        self.code = code
        self.message = message
        self.received = received
        self.hint = hint

    def __str__(self) -> str:
        received = f" Received: {self.received}." if self.received else ""
        return f"{self.message}{received}"


class UsageError(EdgekitError):
    """Bad usage or bad input."""

    exit_code = 2


class ModelError(UsageError):
    """A model file or factory that cannot be used."""


class DataError(UsageError):
    """Samples that do not fit the model."""


class MissingError(EdgekitError):
    """A package, device or accelerator that is missing or unreachable."""

    exit_code = 3


class JobError(EdgekitError):
    """A job failed in its own process."""

    exit_code = 1


class JobFailed(JobError):
    """A job raised."""


class JobCrashed(JobError):
    """The process of a job died."""


class JobTimedOut(JobError):
    """A job ran past its time limit and was killed."""


class JobOutOfMemory(JobError):
    """A job ran past its memory limit and was killed."""


class InternalError(EdgekitError):
    """A bug in edgekit."""


def _tree(root: type[EdgekitError]) -> dict[str, type[EdgekitError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


#: Error classes by name: how an error raised in a job finds its class again on the host.
BY_NAME = _tree(EdgekitError)
