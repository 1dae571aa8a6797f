"""What an artifact needs, and the first release of each engine that has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Numbers of a version, two or more: ``(2, 1)`` is the first release of 2.1 and comes before ``(2, 1, 2)``.
Release = tuple[int, ...]


@dataclass(frozen=True)
class OldRuntime:
    """An engine in the oldest version that an artifact has to load in.

    Attributes:
        name: distribution, such as ``tflite-runtime``.
        version: of the engine.
    """

    name: str
    version: Release

    def __str__(self) -> str:
        return f"{self.name} {dotted(self.version)}"


@dataclass(frozen=True)
class Need:
    """One thing in an artifact that an engine has to know.

    Attributes:
        what: such as ``CONV_2D version 8``.
        since: first release by the name of the engine; an engine that is missing has it in no release known here.
    """

    what: str
    since: Mapping[str, Release]

    def unmet(self, runtime: OldRuntime) -> str | None:
        """Why a runtime cannot load it, in one sentence; None when it can."""
        first = self.since.get(runtime.name)
        if first is not None and first <= runtime.version:
            return None
        known = f"which {runtime.name} has since {dotted(first)}" if first else "which is in no release known here"
        return f"{runtime} cannot load it: it has {self.what}, {known}."


def dotted(version: Release) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))
