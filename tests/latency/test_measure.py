"""Real artifacts on a real engine, timed through real processes."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import JobError, MissingError, ModelError, UsageError
from edgekit.figures import Latency
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.latency.measure import BenchSettings, Candidate, measure
from edgekit.latency.pays import pays
from edgekit.latency.run import Run
from edgekit.latency.search import BATCHES
from edgekit.latency.validity import NOT_CONVERGED, timing_reasons
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.cooling import BAND_C, Cooled
from edgekit.runtimes.environment import SOFTWARE_GPU_VARIABLE
from tests import models
from tests.latency import made

HERE = Context("test", {})

#: Short, and content with any interval.
QUICK = BenchSettings(openings=3, half_width=0.99, min_seconds=0.02, span_seconds=0.0)


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
    turns = [step.stage.partition(":")[0] for step in seen if step.stage.endswith("or more")][:4]
    assert turns == ["first", "second", "second", "first"]
    for taken in (first, second):
        assert (taken.error, taken.converged, taken.batch) == (None, True, 1)
        assert len(taken.opening_p50_ms) >= 3
        assert taken.rounds == tuple(range(len(taken.openings)))
        assert all(len(samples) >= 30 for samples in taken.samples_ms)
        latency = taken.latency_ms
        assert latency is not None
        assert latency.p90 is not None
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
    never = replace(QUICK, half_width=1e-9, max_seconds=1.0)
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, never)
    assert not taken.converged
    assert taken.openings
    assert any(reason.startswith(NOT_CONVERGED) for reason in timing_reasons(taken))


@pytest.mark.parametrize(("asked", "used"), [(None, 1), (3, 3), (9, 9)])
def test_the_batch_that_was_asked_for_is_run(executor: Executor, twin_onnx: Path, asked: int | None, used: int) -> None:
    settings = replace(QUICK, batch=asked)
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


def test_throughput_tries_batches_and_streams_and_uses_every_cpu(
    executor: Executor, twin_onnx: Path, twin_onnx_fixed: Path
) -> None:
    settings = replace(QUICK, scenario="throughput")
    given = [
        candidate(executor, twin_onnx, name="free", options=OpenOptions()),
        candidate(executor, twin_onnx_fixed, name="fixed", fixed_batch=2, options=OpenOptions()),
    ]
    seen: list[Progress] = []
    free, fixed = measure(given, executor, HERE, settings, seen.append)
    tries = [step.stage.split() for step in seen if step.stage.startswith("try free with batch")]
    alone = [int(words[4]) for words in tries if len(words) == 5]
    assert alone[1:] == list(BATCHES[: len(alone) - 1]), "after one that counts the CPUs"
    assert len(alone) > 3
    assert free.batch in alone
    assert fixed.batch == 2
    for taken in (free, fixed):
        cpus = len(taken.openings[0].environment.affinity)
        assert taken.options.threads == cpus
        assert 1 <= taken.streams <= cpus
        count = sum(len(samples) for samples in taken.samples_ms)
        seconds = sum(opening.timed_s for opening in taken.openings)
        assert taken.throughput_per_s == pytest.approx(taken.batch * count / seconds)
    if cpus > 1:
        assert ["streams"] in [words[-1:] for words in tries]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "tflite"])
def test_streams_run_side_by_side(executor: Executor, runtime: str, request: pytest.FixtureRequest) -> None:
    target = {"onnxruntime": "onnx"}.get(runtime, runtime)
    file: Path = request.getfixturevalue(f"twin_{target}")
    files = tuple(executor.add(path) for path in (file, file.with_suffix(".bin")) if path.is_file())
    settings = replace(QUICK, scenario="throughput", streams=2, batch=1 if runtime == "tflite" else 3)
    two = replace(candidate(executor, file, runtime=runtime, name=target, options=OpenOptions(threads=2)), files=files)
    (taken,) = measure([two], executor, HERE, settings)
    assert (taken.error, taken.streams) == (None, 2)
    for opening, samples in zip(taken.openings, taken.samples_ms, strict=True):
        together = samples.sum() / 1000 / opening.timed_s
        assert 1.0 < together < 2.1, "more than one inference at a time"


def test_more_streams_than_threads_are_refused(executor: Executor, twin_onnx: Path) -> None:
    settings = replace(QUICK, scenario="throughput", streams=9)
    with pytest.raises(UsageError) as caught:
        measure([candidate(executor, twin_onnx)], executor, HERE, settings)
    assert caught.value.code == "too-many-streams"


def test_cold_starts_are_load_and_first_inference_of_fresh_processes(executor: Executor, twin_onnx: Path) -> None:
    settings = replace(QUICK, scenario="cold")
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, settings)
    assert [len(samples) for samples in taken.samples_ms] == [1] * len(taken.openings)
    sums = [opening.load_ms + opening.first_ms for opening in taken.openings]
    assert [float(samples[0]) for samples in taken.samples_ms] == pytest.approx(sums)
    assert all(opening.warmup_runs == 1 for opening in taken.openings)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "tflite"])
def test_cold_starts_with_what_the_engine_kept(
    executor: Executor, runtime: str, request: pytest.FixtureRequest
) -> None:
    target = {"onnxruntime": "onnx"}.get(runtime, runtime)
    file: Path = request.getfixturevalue(f"twin_{target}")
    files = tuple(executor.add(path) for path in (file, file.with_suffix(".bin")) if path.is_file())
    one = replace(candidate(executor, file, runtime=runtime), files=files)
    (taken,) = measure([one], executor, HERE, replace(QUICK, scenario="cold"))
    assert taken.error is None
    if runtime == "tflite":
        assert taken.load_cached_ms is None
        assert taken.notes == ("tflite keeps nothing that it compiled for the next load.",)
    else:
        assert taken.notes == ()
        assert len(taken.cached_loads_ms) == len(taken.openings) - 1, "the first load wrote it"
        assert (taken.load_cached_ms or 0) > 0


@pytest.fixture
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process for each opening, however slowly a busy machine starts one."""
    monkeypatch.setattr("edgekit.latency.measure.FRESH_S", math.inf)


@pytest.mark.usefixtures("always_fresh")
def test_every_opening_has_a_fresh_process(executor: Executor, twin_onnx: Path) -> None:
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, QUICK)
    assert len(set(taken.processes)) == len(taken.openings) > 2


def test_what_starts_slowly_keeps_its_process(
    executor: Executor, twin_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.latency.measure.FRESH_S", 0.0)
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, QUICK)
    assert len(set(taken.processes)) == 1
    assert taken.load_ms == taken.openings[0].load_ms


@pytest.mark.parametrize(("copy", "copied"), [(True, "outputs"), (False, "nothing")])
def test_what_is_copied_is_stated(executor: Executor, twin_onnx: Path, copy: bool, copied: str) -> None:
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, replace(QUICK, copy=copy))
    assert {opening.copies for opening in taken.openings} == {copied}


@pytest.mark.usefixtures("always_fresh")
def test_a_process_that_dies_in_mid_run_leaves_what_is_finished(executor: Executor, twin_onnx: Path) -> None:
    """As when a device disappears: its last process is killed, and no other can be started."""
    two = [candidate(executor, twin_onnx, name=name) for name in ("first", "second")]

    def pull_the_plug(step: Progress) -> None:
        if step.stage.startswith("second: opening 3"):
            _kill_soon(executor)

    first, second = measure(two, executor, HERE, QUICK, pull_the_plug)
    assert first.error is None
    assert len(first.openings) >= 3
    assert isinstance(second.error, JobError)
    assert "killed from outside" in second.error.message
    assert len(second.openings) == 2
    assert second.latency_ms is not None, "what was taken before stays"
    assert second.notes == ("it ended early, after 2 openings; its figures rest on these alone.",)


def test_a_device_that_starts_no_more_processes(executor: Executor, twin_onnx: Path) -> None:
    two = [candidate(executor, twin_onnx, name=name) for name in ("first", "second")]

    def unplug(step: Progress) -> None:
        if step.stage.startswith("second: opening 2"):  # every other round goes backwards
            executor.close()

    taken = measure(two, executor, HERE, QUICK, unplug)
    assert [len(one.openings) for one in taken] == [1, 1]
    assert all(isinstance(one.error, JobError) for one in taken)


def _kill_soon(executor: Executor) -> None:
    """Kill the process of the next job from a thread, as soon as it is there."""

    def kill() -> None:
        while not (living := [pid for pid in _workers() if pid not in before]):
            time.sleep(0.005)
        os.kill(living[0], signal.SIGKILL)

    before = _workers()
    threading.Thread(target=kill, daemon=True).start()


def _workers() -> set[int]:
    """Processes that this one started."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"\nPPid:\t{os.getpid()}\n" in (folder / "status").read_text():
                found.add(int(folder.name))
    return found


def test_an_emulated_device_gets_one_opening_of_three_inferences(executor: Executor, twin_onnx: Path) -> None:
    (taken,) = measure([candidate(executor, twin_onnx)], executor, HERE, BenchSettings(emulated=True))
    assert [len(samples) for samples in taken.samples_ms] == [1]
    assert taken.openings[0].warmup_runs == 1
    assert taken.latency_ms is not None
    assert taken.latency_ms.ci95_p50 == ()


def test_the_search_ends_where_the_first_try_shows_an_emulated_machine(executor: Executor, twin_onnx: Path) -> None:
    seen: list[Progress] = []
    board = Context("board", {SOFTWARE_GPU_VARIABLE: "1"})
    (taken,) = measure(
        [candidate(executor, twin_onnx)], executor, board, replace(QUICK, scenario="throughput"), seen.append
    )
    assert taken.openings[0].environment.emulated
    assert (taken.batch, taken.streams) == (1, 1)
    assert not [step.stage for step in seen if "batch 2" in step.stage or "streams" in step.stage]


@pytest.mark.parametrize(("spent_s", "waits_s"), [(10.0, 30.0), (50.0, 10.0), (70.0, 0.0)])
def test_on_a_board_later_openings_start_as_cool_as_the_first(
    executor: Executor, twin_onnx: Path, spent_s: float, waits_s: float
) -> None:
    run = Run(candidate(executor, twin_onnx), executor, BenchSettings(max_seconds=60.0))
    assert run.plan().cool_to_c is None
    board = replace(made.MACHINE, board="Raspberry Pi 4 Model B")
    run.openings.append(made.opening(environment=board, cooled=Cooled(0.0, 48.0, 48.0, reached=True)))
    run.seconds = spent_s
    assert (run.plan().cool_to_c, run.plan().cool_max_s) == (48.0 + BAND_C, waits_s)


def test_a_machine_with_a_fan_is_not_waited_for(executor: Executor, twin_onnx: Path) -> None:
    run = Run(candidate(executor, twin_onnx), executor, BenchSettings())
    run.openings.append(made.opening(environment=replace(made.MACHINE, board=None)))
    assert run.plan().cool_to_c is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"openings": 2},
        {"batch": 0},
        {"half_width": 0.0},
        {"max_seconds": 0.0},
        {"min_seconds": -1.0},
        {"span_seconds": -1.0},
        {"streams": 0},
        {"scenario": "warm"},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        BenchSettings(**wrong)
    assert caught.value.code == "bad-setting"
    assert next(iter(wrong)) in caught.value.message
