"""A worker that runs on another machine: what a transport has to offer for it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from edgekit.errors import EdgekitError


class Link(Protocol):
    """The way to one other machine, where an agent (`edgekit.jobs.agent`) runs jobs.

    Attributes:
        key: what makes two links lead to the same place with the same settings.
        here: whether that machine is emulated on this one, so that its jobs disturb timings here.
    """

    key: str
    here: bool

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start an agent there, with pipes at its input and output; it ends when its input does.

        Args:
            log: what it and the transport write to standard error.

        Raises:
            EdgekitError: there is no way to it.
        """

    def lost(self, code: int | None, said: str) -> EdgekitError:
        """The error for an agent that ended by itself.

        Args:
            code: exit status of the transport; negative for a signal.
            said: the end of its log.
        """

    def explain(self, error: EdgekitError) -> EdgekitError:
        """An error of a job in the words of this machine: which device, and which command mends it."""
