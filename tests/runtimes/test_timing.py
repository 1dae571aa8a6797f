"""The timing of one opening, on a real engine and in a real job."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Workspace
from edgekit.runtimes import OpenOptions, Runtime, Session, timing
from edgekit.runtimes.cooling import cool_down
from edgekit.runtimes.jobs import TimeJob
from edgekit.runtimes.onnxruntime_ import OnnxRuntime
from edgekit.runtimes.timing import Opening, TimingPlan, is_steady, time_opening
from edgekit.types import Effective, Reading, Signature
from tests import models
from tests.boards import builder

QUICK = TimingPlan(warmup_min_runs=5, warmup_min_s=0.01, min_runs=40, min_s=0.02, max_s=2.0)


def workspace(folder: Path) -> Workspace:
    return Workspace(folder, lambda progress: None)


def test_every_inference_is_a_sample(twin_onnx: Path, tmp_path: Path) -> None:
    opening = time_opening(
        OnnxRuntime(), twin_onnx, models.twin_inputs(1), OpenOptions(threads=1), QUICK, workspace(tmp_path)
    )
    samples = np.load(tmp_path / opening.samples.name)
    assert samples.dtype == np.int64
    assert samples.ndim == 1
    assert len(samples) >= QUICK.min_runs
    assert (samples > 0).all()
    assert samples.sum() / 1e9 <= opening.after.monotonic_s - opening.before.monotonic_s
    assert opening.warmup_runs >= QUICK.warmup_min_runs
    assert opening.load_ms > 0
    assert opening.first_ms > 0
    assert opening.peak_rss_bytes >= opening.base_rss_bytes > 1 << 20
    assert opening.page_faults_per_inference >= 0
    assert opening.preemptions_per_inference >= 0
    assert opening.effective.placement.value == "CPU"
    assert opening.signature.inputs[0].name == "wide"
    assert opening.version[0].isdigit()
    assert gc.isenabled()


def test_a_hot_board_is_opened_only_when_it_has_cooled_down(
    twin_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = builder.raspberry_pi_4(tmp_path / "board")
    board.heat(71.0)

    def pass_time(seconds: float) -> None:
        board.heat(60.0)

    monkeypatch.setattr(timing, "cool_down", partial(cool_down, sys=board.sys, sleep=pass_time))
    plan = replace(QUICK, cool_to_c=65.0, cool_max_s=30.0)
    opening = time_opening(OnnxRuntime(), twin_onnx, models.twin_inputs(1), OpenOptions(), plan, workspace(tmp_path))
    assert (opening.cooled.before_c, opening.cooled.after_c, opening.cooled.reached) == (71.0, 60.0, True)
    assert opening.cooled.waited_s > 0


def test_the_time_limit_ends_a_timing_before_its_runs_are_reached(twin_onnx: Path, tmp_path: Path) -> None:
    plan = TimingPlan(warmup_min_runs=10**9, warmup_min_s=0.0, min_runs=10**9, min_s=0.0, max_s=0.05)
    opening = time_opening(OnnxRuntime(), twin_onnx, models.twin_inputs(1), OpenOptions(), plan, workspace(tmp_path))
    assert not opening.steady
    assert 1 <= len(np.load(tmp_path / opening.samples.name)) < 10**9


def test_a_limit_of_nothing_still_times_one_inference(twin_onnx: Path, tmp_path: Path) -> None:
    plan = TimingPlan(warmup_min_runs=0, warmup_min_s=0.0, min_runs=10**9, min_s=0.0, max_s=0.0)
    opening = time_opening(OnnxRuntime(), twin_onnx, models.twin_inputs(1), OpenOptions(), plan, workspace(tmp_path))
    assert len(np.load(tmp_path / opening.samples.name)) == 1


@pytest.mark.parametrize(
    ("samples", "steady"),
    [
        ([100] * 30, True),
        ([5000] * 10 + [1009] * 10 + [1000] * 10, True),
        ([500] * 15 + [100] * 15, False),
        ([1000] * 300 + [1030] * 300, False),  # more than such quiet samples allow
        ([1000, 1040] * 150 + [1015, 1055] * 150, True),  # no more than their noise
        ([1000, 1900] * 150 + [1200, 2100] * 150, False),  # however noisy, never this much
        (list(range(300, 0, -10)), False),
        ([100] * 19 + [9000] + [100] * 10, True),  # one outlier does not move a median
        ([100, 100], False),
        ([], False),
    ],
)
def test_steady_means_the_last_two_windows_agree(samples: list[int], steady: bool) -> None:
    assert is_steady(samples) is steady


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that passes only in inferences: what is under test is a rule, and this machine has other work."""
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def settling(gone_s: float) -> float:
    """4 ms that shorten to 1 ms within 0.3 s, as in an engine that compiles or on a CPU that speeds up."""
    return 0.001 * max(1.0, 4 - 10 * gone_s)


def slowing(gone_s: float) -> float:
    """1 ms that becomes ever more, as on a CPU that gets hot."""
    return 0.001 * (1 + 5 * gone_s)


@pytest.mark.parametrize("seed", range(20))
def test_the_warm_up_lasts_until_a_drifting_speed_has_settled(tmp_path: Path, clock: Clock, seed: int) -> None:
    opening = timed(Drifting(clock, settling, seed), tmp_path)
    samples = np.load(tmp_path / opening.samples.name)
    assert opening.steady
    assert 0.97e6 < np.median(samples) < 1.03e6, "nothing of the slow beginning was timed"


@pytest.mark.parametrize("seed", range(20))
def test_a_steady_speed_is_warmed_up_for_a_moment(tmp_path: Path, clock: Clock, seed: int) -> None:
    opening = timed(Drifting(clock, lambda gone_s: 0.001, seed), tmp_path)
    assert opening.steady
    assert opening.warmup_runs < 400


def test_a_speed_that_never_settles_is_reported(tmp_path: Path, clock: Clock) -> None:
    assert not timed(Drifting(clock, slowing, 0), tmp_path).steady


def timed(runtime: Runtime, folder: Path) -> Opening:
    return time_opening(runtime, folder, {}, OpenOptions(), TimingPlan(max_s=1.25), workspace(folder))


class Clock:
    """A clock as the module `time`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter_ns(self) -> int:
        return int(self.now_s * 1e9)


class Drifting(Runtime):
    """Inferences that take what a function of the time says, with 2 % of noise and some that are preempted."""

    name = "drifting"

    def __init__(self, clock: Clock, seconds: Callable[[float], float], seed: int) -> None:
        self._clock, self._seconds, self._random = clock, seconds, np.random.default_rng(seed)

    def version(self) -> str:
        return "1"

    def open(self, path: Path, options: OpenOptions) -> Session:
        return DriftingSession(self._infer)

    def _infer(self) -> None:
        noise = 1 + 0.02 * self._random.standard_normal() + 3 * (self._random.random() < 0.02)
        self._clock.now_s += self._seconds(self._clock.now_s) * noise


class DriftingSession(Session):
    signature = Signature((), ())

    def __init__(self, infer: Callable[[], None]) -> None:
        self._infer = infer

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._infer()
        return {}

    def effective(self) -> Effective:
        return Effective(Reading(None, "not reported"), Reading(None, "not reported"))

    def close(self) -> None:
        pass


def test_time_job_repeats_samples_to_fill_the_batch(twin_onnx: Path, tmp_path: Path) -> None:
    with Executor() as executor:
        inputs = {}
        for name, array in models.twin_inputs(2).items():
            np.save(tmp_path / f"{name}.npy", array)
            inputs[name] = executor.add(tmp_path / f"{name}.npy")
        plan = TimingPlan(batch=5, warmup_min_runs=3, warmup_min_s=0.0, min_runs=10, min_s=0.0, max_s=2.0)
        job = TimeJob("onnxruntime", (executor.add(twin_onnx),), inputs, OpenOptions(threads=1), plan)
        with executor.session(Context("plain")) as run:
            openings = [run(job) for _ in range(2)]
        for opening in openings:
            assert len(np.load(executor.path(opening.samples))) >= 10
    assert len({opening.samples.sha256 for opening in openings}) == 2, "each opening has its own samples"


def test_time_job_on_a_fixed_batch_says_what_does_not_fit(twin_onnx_fixed: Path, tmp_path: Path) -> None:
    with Executor() as executor:
        inputs = {}
        for name, array in models.twin_inputs(2).items():
            np.save(tmp_path / f"{name}.npy", array)
            inputs[name] = executor.add(tmp_path / f"{name}.npy")
        job = TimeJob("onnxruntime", (executor.add(twin_onnx_fixed),), inputs, OpenOptions(), TimingPlan(batch=1))
        with pytest.raises(Exception, match="a batch of 2 only") as caught:
            executor.run_fresh(job, Context("plain"))
    assert caught.value.code == "fixed-batch"  # type: ignore[attr-defined]  # any EdgekitError has a code


def test_an_artifact_that_does_not_load_is_not_timed(tmp_path: Path) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(bytes(itertools.islice(itertools.cycle(b"no model "), 200)))
    with pytest.raises(ModelError):
        time_opening(OnnxRuntime(), path, models.twin_inputs(1), OpenOptions(), QUICK, workspace(tmp_path))
