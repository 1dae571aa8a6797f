"""Real artifacts on a real engine, timed through real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import MissingError, ModelError, UsageError
from edgekit.figures import Latency
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.latency.measure import THROUGHPUT_BATCHES, BenchSettings, Candidate, measure
from edgekit.latency.pays import pays
from edgekit.latency.validity import NOT_CONVERGED, timing_reasons
from edgekit.runtimes.base import OpenOptions
from tests import models

HERE = Context("test", {})

#: Short, and content with any interval.
QUICK = BenchSettings(openings=3, half_width=0.99, min_seconds=0.02)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def candidate(executor: Executor, file: Path, *, name: str = "onnx fp32", **changes: Any) -> Candidate:
    folder = executor.scratch()
    inputs = {}
    for key, array in models.twin_inputs(4).items():
        np.save(folder / f"{key}.npy", array)
        inputs[key] = executor.add(folder / f"{key}.npy")
    blob = executor.add(file, "model.onnx")
    given = {"runtime": "onnxruntime", "options": OpenOptions(threads=1), **changes}
    return Candidate(name, files=(blob,), inputs=inputs, size_bytes=blob.size, **given)


def test_latency_of_two_artifacts_in_turns(executor: Executor, twin_onnx: Path) -> None:
    seen: list[Progress] = []
    two = [candidate(executor, twin_onnx, name=name) for name in ("first", "second")]
    first, second = measure(two, executor, HERE, QUICK, seen.append)
    turns = [step.stage.partition(":")[0] for step in seen[:4]]
    assert turns == ["first", "second", "second", "first"]
    for taken in (first, second):
        assert (taken.error, taken.converged, taken.batch) == (None, True, 1)
        assert len(taken.opening_p50_ms) >= 3
        assert taken.rounds == tuple(range(len(taken.openings)))
        assert all(len(samples) >= 30 for samples in taken.samples_ms)
        latency = taken.latency_ms
        assert latency is not None
        assert 0 < latency.min <= latency.p50 <= latency.p90
        assert latency.ci95_p50[0] <= latency.p50 <= latency.ci95_p50[1]
        assert from_json(Latency, json.loads(json.dumps(to_json(latency)))) == latency
        assert taken.throughput_per_s is None
        assert (taken.load_ms or 0) > 0
        assert (taken.first_ms or 0) > 0
        assert taken.peak_rss_mb is not None
        assert taken.facts()["engine"].startswith("onnxruntime 1.")
        assert taken.facts()["emulated"] == "False"
    answer = pays(first, second, device="local", precision="int8")
    assert answer.ci95 is not None
    assert answer.ci95[0] <= (answer.speedup or 0) <= answer.ci95[1]


def test_an_error_in_one_leaves_the_others_alone(executor: Executor, twin_onnx: Path, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no model")
    broken, missing, sound = measure(
        [
            candidate(executor, garbage, name="broken"),
            candidate(executor, twin_onnx, options=OpenOptions(accelerator="CUDA")),
            candidate(executor, twin_onnx),
        ],
        executor,
        HERE,
        QUICK,
    )
    assert isinstance(broken.error, ModelError)
    assert isinstance(missing.error, MissingError)
    assert (broken.latency_ms, broken.load_ms, broken.facts(), timing_reasons(broken)) == (None, None, {}, ())
    assert sound.error is None
    assert len(sound.openings) >= 3


def test_the_time_limit_ends_a_measurement_that_does_not_converge(executor: Executor, twin_onnx: Path) -> None:
    never = BenchSettings(openings=3, half_width=1e-9, min_seconds=0.02, max_seconds=1.0)
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, never)
    assert not taken.converged
    assert taken.openings
    assert any(reason.startswith(NOT_CONVERGED) for reason in timing_reasons(taken))


@pytest.mark.parametrize(("asked", "used"), [(None, 1), (3, 3), (9, 9)])
def test_the_batch_that_was_asked_for_is_run(executor: Executor, twin_onnx: Path, asked: int | None, used: int) -> None:
    settings = BenchSettings(openings=3, half_width=0.99, min_seconds=0.02, batch=asked)
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, settings)
    assert (taken.batch, taken.error) == (used, None)


def test_an_artifact_with_a_fixed_batch_runs_with_it_and_no_other(executor: Executor, twin_onnx_fixed: Path) -> None:
    fixed = candidate(executor, twin_onnx_fixed, fixed_batch=2)
    (taken,) = measure([fixed], executor, HERE, QUICK)
    assert (taken.batch, taken.error) == (2, None)
    (refused,) = measure([fixed], executor, HERE, BenchSettings(batch=4))
    assert refused.error is not None
    assert "--batch 2" in refused.error.hint
    assert refused.openings == ()


def test_throughput_tries_batches_and_uses_every_cpu(
    executor: Executor, twin_onnx: Path, twin_onnx_fixed: Path
) -> None:
    settings = BenchSettings("throughput", openings=3, half_width=0.99, min_seconds=0.02)
    given = [
        candidate(executor, twin_onnx, name="free", options=OpenOptions()),
        candidate(executor, twin_onnx_fixed, name="fixed", fixed_batch=2, options=OpenOptions()),
    ]
    seen: list[Progress] = []
    free, fixed = measure(given, executor, HERE, settings, seen.append)
    tried = [int(step.stage.rpartition(" ")[2]) for step in seen if step.stage.startswith("try free")]
    assert tried == list(THROUGHPUT_BATCHES[: len(tried)])
    assert len(tried) >= 3
    assert free.batch in tried
    assert fixed.batch == 2
    for taken in (free, fixed):
        assert taken.options.threads == len(taken.openings[0].environment.affinity)
        total_ms = sum(float(samples.sum()) for samples in taken.samples_ms)
        count = sum(len(samples) for samples in taken.samples_ms)
        assert taken.throughput_per_s == pytest.approx(1000 * taken.batch * count / total_ms)


def test_cold_starts_are_load_and_first_inference_of_fresh_processes(executor: Executor, twin_onnx: Path) -> None:
    settings = BenchSettings("cold", openings=3, half_width=0.99)
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, settings)
    assert [len(samples) for samples in taken.samples_ms] == [1] * len(taken.openings)
    sums = [opening.load_ms + opening.first_ms for opening in taken.openings]
    assert [float(samples[0]) for samples in taken.samples_ms] == pytest.approx(sums)
    assert all(opening.warmup_runs == 1 for opening in taken.openings)


def test_an_emulated_device_gets_one_opening_of_three_inferences(executor: Executor, twin_onnx: Path) -> None:
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, BenchSettings(emulated=True))
    assert [len(samples) for samples in taken.samples_ms] == [1]
    assert taken.openings[0].warmup_runs == 1
    assert taken.latency_ms is not None
    assert taken.latency_ms.ci95_p50 == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"openings": 2},
        {"batch": 0},
        {"half_width": 0.0},
        {"max_seconds": 0.0},
        {"min_seconds": -1.0},
        {"scenario": "warm"},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        BenchSettings(**wrong)
    assert caught.value.code == "bad-setting"
    assert next(iter(wrong)) in caught.value.message
