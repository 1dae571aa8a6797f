"""Two real artifacts in one process, and what happens when they cannot share it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Workspace
from edgekit.latency import turns
from edgekit.latency.measured import BenchSettings, Candidate
from edgekit.latency.turns import Turns, take_turns
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.pairing import PairJob, PairOpening
from tests import models
from tests.onnx_files import write_onnx

HERE = Context("test", {"PYTHONPATH": str(Path(__file__).parents[2])})

SETTINGS = BenchSettings(max_seconds=4.0, min_seconds=0.02)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def chain(path: Path, length: int) -> Path:
    """A product with a matrix after another."""
    from onnx import helper

    names = ["x", *(f"x{step}" for step in range(1, length)), "y"]
    nodes = [helper.make_node("MatMul", [names[step], "w"], [names[step + 1]]) for step in range(length)]
    return write_onnx(path, nodes, {"w": np.eye(64)}, ["batch", 64])


def candidate(executor: Executor, *files: Path, runtime: str = "onnxruntime", **inputs: np.ndarray) -> Candidate:
    folder = executor.scratch()
    given = inputs or {"x": np.random.default_rng(0).random((4, 64), dtype=np.float32)}
    blobs = {}
    for name, array in given.items():
        np.save(folder / f"{name}.npy", array)
        blobs[name] = executor.add(folder / f"{name}.npy")
    held = tuple(executor.add(file) for file in files)
    return Candidate(files[0].stem, runtime, held, blobs, OpenOptions(threads=1), files[0].stat().st_size)


def in_turns(executor: Executor, base: Candidate, new: Candidate) -> Turns:
    return take_turns(base, new, executor, HERE, SETTINGS)


def test_each_side_keeps_what_is_its_own(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    short = candidate(executor, chain(tmp_path / "a" / "model.onnx", 2))
    long = candidate(executor, chain(tmp_path / "b" / "model.onnx", 300))  # another file of the same name
    found = in_turns(executor, short, long)
    assert found.together
    assert found.base.error is found.new.error is None
    assert len(found.base.openings) == len(found.new.openings) == found.rounds >= 2
    assert found.ratio is not None
    assert found.ratio.low > 1
    assert sum(map(len, found.base.samples_ms)) > sum(map(len, found.new.samples_ms))
    assert found.minimum_detectable is not None


def test_files_of_two_parts_stay_together_in_another_engine(executor: Executor, twin_openvino: Path) -> None:
    inputs = models.twin_inputs(2)
    files = (twin_openvino, twin_openvino.with_suffix(".bin"))
    base, new = (candidate(executor, *files, runtime="openvino", **inputs) for _ in range(2))
    found = in_turns(executor, base, new)
    assert found.together
    assert [one.name for one in found.new.openings[0].signature.inputs] == ["wide", "token"]


def test_the_one_that_does_not_open_is_named_alone(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "garbage.onnx").write_bytes(b"no model")
    sound, broken = candidate(executor, chain(tmp_path / "sound.onnx", 2)), tmp_path / "garbage.onnx"
    found = in_turns(executor, sound, candidate(executor, broken))
    assert isinstance(found.new.error, ModelError)
    assert found.base.error is None
    assert found.base.notes == ()
    assert (found.together, found.rounds, found.ratio) == (False, 0, None)


class Alone(PairJob):
    """What two engines that cannot share a process do to it."""

    def run(self, work: Workspace) -> PairOpening:
        import os

        os.abort()


def test_those_that_cannot_share_a_process_get_one_each(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PairJob", Alone)
    short, long = (candidate(executor, chain(tmp_path / f"chain{length}.onnx", length)) for length in (2, 300))
    found = take_turns(short, long, executor, HERE, replace(SETTINGS, max_seconds=6.0))
    assert not found.together
    assert found.rounds >= 2
    assert found.ratio is not None
    assert found.ratio.value > 1
    assert found.base.peak_rss_mb is not None
    (told,) = found.new.notes
    assert told.startswith("each had a process of its own, since one for both failed: ")
