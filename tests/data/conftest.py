"""A workbench for tests that read data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgekit.workbench import Workbench, workbench


@pytest.fixture
def bench() -> Iterator[Workbench]:
    with workbench() as made:
        yield made
