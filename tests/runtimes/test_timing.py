"""The timing of one opening, on a real engine and in a real job."""

from __future__ import annotations

import gc
import itertools
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Workspace
from edgekit.runtimes import OpenOptions
from edgekit.runtimes.jobs import TimeJob
from edgekit.runtimes.onnxruntime_ import OnnxRuntime
from edgekit.runtimes.timing import TimingPlan, is_steady, time_opening
from tests import models

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
        ([500] * 10 + [102] * 10 + [100] * 10, True),
        ([500] * 15 + [100] * 15, False),
        (list(range(300, 0, -10)), False),
        ([100] * 19 + [9000] + [100] * 10, True),  # one outlier does not move a median
        ([100, 100], False),
        ([], False),
    ],
)
def test_steady_means_the_last_two_windows_agree(samples: list[int], steady: bool) -> None:
    assert is_steady(samples) is steady


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
        with pytest.raises(Exception, match="another shape") as caught:
            executor.run_fresh(job, Context("plain"))
    assert caught.value.code == "wrong-shape"  # type: ignore[attr-defined]  # any EdgekitError has a code


def test_an_artifact_that_does_not_load_is_not_timed(tmp_path: Path) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(bytes(itertools.islice(itertools.cycle(b"no model "), 200)))
    with pytest.raises(ModelError):
        time_opening(OnnxRuntime(), path, models.twin_inputs(1), OpenOptions(), QUICK, workspace(tmp_path))
