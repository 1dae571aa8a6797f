"""ONNX's own backend tests: what the adapters do not pass, the engines' own backends do not pass either."""

from __future__ import annotations

import re
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks import onnx_backend
from benchmarks.onnx_backend import ENGINES, OURS, OWN, Record, failing, listed, read, read_list, run, worse

#: A fixed part of the suite: every data type of a comparison, broadcasting, several outputs, scalars, control flow,
#: text, lists of arrays, optional ones, and small models.
PART = (
    r"^test_(add|argmax|cast_FLOAT|clip|equal|gather|identity|if|less|loop|max|mod|sequence_map|slice|split|string|topk"
    r"|single_relu|expand_shape)"
)


def _list(engine: str) -> Path:
    return onnx_backend.LISTS / f"onnx_backend_{engine}.txt"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_kept_list_shows_nothing_that_only_edgekit_fails(engine: str) -> None:
    outcomes = read_list(_list(engine))
    assert len(outcomes) > 100, "each engine fails some of its own suite: a shorter list was not read"
    beyond = {case for case, (ours, own) in outcomes.items() if own == "passed" and ours not in ("passed", "refused")}
    assert not beyond
    counts = Counter(ours for ours, _ in outcomes.values())
    assert counts["crashed"] == 0
    assert sum(ours != "passed" for ours, _ in outcomes.values()) <= sum(
        own != "passed" for _, own in outcomes.values()
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_part_of_the_suite_runs_as_the_list_says(engine: str, tmp_path: Path) -> None:
    records = run(engine, PART, tmp_path / "records.jsonl")
    ours, own = failing(records, OURS), failing(records, OWN)
    assert len({one.case for one in records}) > 100
    assert len(ours) < len({one.case for one in records}) / 2
    assert len(ours) <= len(own)
    assert worse(ours, own) == []
    if _is_of_these_versions(engine):
        known = {case: ours for case, (ours, _) in read_list(_list(engine)).items() if re.search(PART, case)}
        known = {case: outcome for case, outcome in known.items() if outcome != "passed"}
        assert {case: one.outcome for case, one in ours.items()} == known


def test_a_case_that_kills_its_process_counts_as_crashed(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(
        '{"case": "a", "way": "edgekit", "outcome": "started", "reason": ""}\n'
        '{"case": "a", "way": "edgekit", "outcome": "passed", "reason": ""}\n'
        '{"case": "b", "way": "edgekit", "outcome": "started", "reason": ""}\n'
    )
    assert [one.outcome for one in read(file)] == ["passed", "crashed"]


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    records = [
        Record("test_a", OURS, "passed"),
        Record("test_a", OWN, "failed", "E: no"),
        Record("test_b", OURS, "refused", "holds tensor(string)"),
        Record("test_b", OWN, "passed"),
        Record("test_c", OURS, "failed"),
        Record("test_c", OWN, "passed"),
        Record("test_d", OURS, "passed"),
        Record("test_d", OWN, "passed"),
    ]
    path = tmp_path / "list.txt"
    path.write_text(listed("onnxruntime", records))
    assert read_list(path) == {
        "test_a": ("passed", "failed"),
        "test_b": ("refused", "passed"),
        "test_c": ("failed", "passed"),
    }
    assert worse(failing(records, OURS), failing(records, OWN)) == ["test_c"]


def _is_of_these_versions(engine: str) -> bool:
    head = _list(engine).read_text(encoding="utf-8").splitlines()[0]
    return head.endswith(f"of onnx {metadata.version('onnx')} on {engine} {metadata.version(engine)}")
