"""The fidelity benchmark's own parts: the slowed runtime, and where its tables go."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import BEGIN, END, PARTS
from benchmarks.fidelity_setup import HERE
from benchmarks.fidelity_slowed import PERCENTS, install, name, slowed
from edgekit.errors import UsageError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.latency.measured import BenchSettings, Candidate
from edgekit.latency.turns import take_turns
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.registry import RUNTIMES
from tests import models


def test_a_slowed_call_waits_and_gives_what_it_was_given() -> None:
    """At least as long as the call itself and its share: a neighbour can only make it longer."""

    def busy() -> str:
        end = time.perf_counter_ns() + 2_000_000
        while time.perf_counter_ns() < end:
            pass
        return "result"

    call = slowed(busy, 0.5)
    started = time.perf_counter_ns()
    assert call() == "result"
    assert time.perf_counter_ns() - started >= 2_900_000


def test_the_slowed_runtime_takes_turns_with_the_real_one(twin_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no runtime"):
        RUNTIMES[name(PERCENTS[0])]
    context = Context("test", {"PYTHONPATH": f"{install(tmp_path / 'slowed')}:{HERE}"})
    with Executor() as executor:
        inputs = {}
        for key, array in models.twin_inputs(1).items():
            np.save(tmp_path / f"{key}.npy", array)
            inputs[key] = executor.add(tmp_path / f"{key}.npy")
        file = executor.add(twin_onnx, "model.onnx")
        base, new = (
            Candidate(runtime, runtime, (file,), inputs, OpenOptions(threads=1), file.size)
            for runtime in ("onnxruntime", name(PERCENTS[0]))
        )
        found = take_turns(base, new, executor, context, BenchSettings(max_seconds=4, min_seconds=0.02))
    assert (found.base.error, found.new.error) == (None, None)
    assert len(found.base.openings) == len(found.new.openings) == found.rounds
    assert found.new.rounds == tuple(range(found.rounds))
    assert found.together
    if found.rounds > 1:
        assert found.ratio is not None
        assert found.ratio.low <= found.ratio.value <= found.ratio.high


def test_the_documentation_has_a_place_for_them() -> None:
    text = (HERE.parent / "docs" / "latency.md").read_text()
    assert text.index(BEGIN) < text.index(END)
    assert set(PARTS) == set("abcd")
