"""The ways that the benchmark of the adapters puts beside each other do the same work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.adapter_overhead import BEGIN, END, ENGINES, HEAD, ROOT, measured, row, ways


@pytest.mark.parametrize("name", ENGINES)
def test_every_way_computes_the_same_and_is_timed(name: str, tmp_path: Path) -> None:
    calls = ways(name, tmp_path)
    for way, call in calls.items():
        outputs: Any = call()
        (array,) = outputs.values() if isinstance(outputs, dict) else [np.asarray(outputs).reshape(1, 4)]
        assert array.tolist() == [[0, 2, 0, 4]], way
    found = measured(calls, turns=2, count=3)
    assert {len(times) for times in found.values()} == {2}
    assert min(time for times in found.values() for time in times) > 0
    assert len(row(name, found)) == len(HEAD)


def test_the_document_has_a_place_for_the_table() -> None:
    text = (ROOT / "docs" / "accelerators.md").read_text(encoding="utf-8")
    assert text.index(BEGIN) < text.index(END)


def test_overhead_is_the_median_of_differences_in_one_turn() -> None:
    found = {"plain": [1.0, 10.0, 2.0], "run": [2.0, 11.0, 9.0], "prepare": [1.5, 9.0, 2.0]}
    assert row("engine", found) == ("engine", "2.0 µs", "9.0 µs", "+1.0 µs", "2.0 µs", "+0.0 µs", "5 µs")
