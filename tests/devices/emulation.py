"""Whether this machine can emulate a board; tests skip where it cannot, but not in continuous integration."""

from __future__ import annotations

import os

import pytest

from edgekit.devices.emulated.board import Board
from edgekit.devices.emulated.cores import CORES
from edgekit.errors import MissingError


def require_emulation() -> None:
    """Start a board once, which also builds it; skip the test where the machine does not let it."""
    try:
        with Board(CORES["cortex-a72"], "bookworm") as board:
            board.start()
    except MissingError as err:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{err} {err.hint}")
