"""Whether this machine can emulate a board; tests skip where it cannot, but not in continuous integration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgekit.devices.emulated.board import Board
from edgekit.devices.emulated.cores import CORES
from edgekit.errors import MissingError


@contextmanager
def emulation(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that all test processes of a session share: boards are built from nothing, once.

    What pip has downloaded is the user's.
    """
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "emulation"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        _require_emulation()
        yield folder


def _require_emulation() -> None:
    """Start a board once, which also builds it; skip the test where the machine does not let it."""
    try:
        with Board(CORES["cortex-a72"], "bookworm") as board:
            board.start()
    except MissingError as err:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{err} {err.hint}")
