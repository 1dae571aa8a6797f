"""One run imports each framework once for conversion, and gives every timing a process of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context, Worker
from edgekit.pipeline import RunOptions
from edgekit.samples import save_npz
from tests import models


@pytest.mark.slow
def test_each_framework_is_imported_once_and_each_timing_is_fresh(
    twin_keras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: dict[Worker, list[str]] = {}  # holds the workers: an ``id`` is given again once its object is gone
    names: dict[Worker, str] = {}
    start, execute = Executor._start, Executor._execute

    def start_noting(self: Executor, context: Context) -> Worker:
        worker = start(self, context)
        names[worker] = context.name
        return worker

    def execute_noting(self: Executor, worker: Worker, job: Any, update: Any) -> Any:
        served.setdefault(worker, []).append(type(job).__name__)
        return execute(self, worker, job, update)

    monkeypatch.setattr(Executor, "_start", start_noting)
    monkeypatch.setattr(Executor, "_execute", execute_noting)
    save_npz(tmp_path / "data.npz", models.twin_inputs(60).items())
    options = RunOptions(("onnx", "tflite"), ("int8",), data=str(tmp_path / "data.npz"), max_seconds=0.5)
    result = edgekit.run(twin_keras, options, output=tmp_path / "kit")

    assert len(result.latency) == 4
    kept = Counter(
        names[worker] for worker, jobs in served.items() if set(jobs) & {"ConvertJob", "ObserveJob", "QuantizeJob"}
    )
    assert kept["keras@jax"] == 1
    assert set(kept.values()) == {1}
    timing = [jobs for jobs in served.values() if "TimeJob" in jobs]
    assert len(timing) >= 4  # each artifact once, and again while its time lasts
    assert all(set(jobs) == {"TimeJob"} for jobs in timing)
    first_loads = [jobs for jobs in served.values() if "RunJob" in jobs]
    assert all(len(jobs) == 1 for jobs in first_loads)
