"""What every device must do. A device joins with one class that names it::

    class TestMyBoard(DeviceSuite):
        runtimes = ("onnxruntime",)

        @pytest.fixture
        def device(self) -> Iterator[Device]:
            device = open_device("ssh://pi@raspberrypi.local")
            yield device
            device.close()

It needs no model and no converter: the engines run a network of one operator that edgekit carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, TypeVar

import numpy as np

from edgekit.devices import Device
from edgekit.errors import DataError, EdgekitError, ModelError
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Job
from edgekit.runtimes import RUNTIMES
from edgekit.runtimes.execution import ExecutionJob
from edgekit.runtimes.jobs import RunJob, TimeJob
from edgekit.runtimes.pairing import PairJob, Side
from edgekit.runtimes.probing import ProbeJob
from edgekit.runtimes.profile import ProfileJob
from edgekit.runtimes.smoke import MODELS
from edgekit.runtimes.timing import TimingPlan
from edgekit.types import Blob

T = TypeVar("T")
E = TypeVar("E", bound=EdgekitError)

#: ``(samples, 4)``, of both signs: what the network gives differs between any two samples.
SAMPLES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)

#: Long enough to be a measurement, short enough for a test.
PLAN = TimingPlan(warmup_min_runs=3, warmup_min_s=0.01, min_runs=5, min_s=0.01, max_s=5.0)


class DeviceSuite:
    """Behaviour of a device. A subclass has a fixture ``device``, of any scope, that opens it and closes it again.

    Attributes:
        runtimes: engines that the device has.
    """

    runtimes: ClassVar[tuple[str, ...]] = ("onnxruntime",)

    def test_its_jobs_bear_its_name(self, device: Device) -> None:
        assert device.context().name == device.name

    def test_it_says_what_it_is(self, device: Device) -> None:
        with _bench(device) as bench:
            facts = bench.run(ProbeJob())
        machine = facts.environment
        assert machine.architecture
        assert tuple(map(int, machine.python.split(".")[:2])) >= (3, 9)
        assert machine.affinity
        assert machine.memory_bytes is None or machine.memory_bytes > 1 << 20
        assert facts.disk_free_bytes > 0
        versions = {engine.name: engine.version for engine in facts.engines}
        assert set(versions) == {row.name for row in RUNTIMES if row.travels}
        assert not [name for name in self.runtimes if versions[name] is None]

    def test_what_it_computes_is_right(self, device: Device) -> None:
        with _bench(device) as bench:
            for name in self.runtimes:
                ran = bench.run(bench.relu(name, SAMPLES))
                (outputs,) = ran.outputs
                got = np.load(bench.executor.path(outputs["y"]))
                np.testing.assert_array_equal(got, np.maximum(SAMPLES, 0))
                assert ran.version[0].isdigit()

    def test_it_times(self, device: Device) -> None:
        with _bench(device) as bench:
            for name in self.runtimes:
                job = bench.relu(name, SAMPLES)
                opening = bench.time(TimeJob(name, job.files, job.inputs, job.options, PLAN))
                times = np.load(bench.executor.path(opening.samples))
                assert (times > 0).all()
                assert opening.environment.architecture

    def test_two_artifacts_take_turns(self, device: Device) -> None:
        with _bench(device) as bench:
            for name in self.runtimes:
                job = bench.relu(name, SAMPLES)
                (model,) = job.files
                other = bench.executor.add(bench.executor.path(model), f"other-{model.name}")
                base, new = (Side(name, {model.name: one}, job.inputs, job.options) for one in (model, other))
                opening = bench.time(PairJob(base, new, PLAN))
                assert opening.ratio > 0
                assert len(np.load(bench.executor.path(opening.new.samples)))

    def test_it_profiles(self, device: Device) -> None:
        with _bench(device) as bench:
            for name in self.runtimes:
                job = bench.relu(name, SAMPLES)
                found = bench.run(ProfileJob(name, job.files, job.inputs, job.options, seconds=0.1))
                assert found.operators or name == "openvino"
                assert found.timed == (name != "tflite")  # which has no profile in Python

    def test_it_tells_what_it_executes(self, device: Device) -> None:
        with _bench(device) as bench:
            for name in self.runtimes:
                job = bench.relu(name, SAMPLES)
                told = bench.run(ExecutionJob(name, job.files, job.inputs, job.options))
                assert told.operators or name == "openvino"  # which leaves out what takes less than a microsecond

    def test_a_file_that_an_engine_refuses_is_its_own_error(self, device: Device) -> None:
        with _bench(device) as bench:
            for name in self.runtimes:
                job = bench.relu(name, SAMPLES, content=b"no model")
                error = _raised(ModelError, bench, job)
                assert error.code == "unloadable-artifact"
                assert error.hint
                bench.run(bench.relu(name, SAMPLES))  # and the next one runs

    def test_samples_that_do_not_fit_are_refused(self, device: Device) -> None:
        with _bench(device) as bench:
            error = _raised(DataError, bench, bench.relu(self.runtimes[0], SAMPLES[:, :3]))
            assert error.code == "wrong-shape"
            assert error.received is not None

    def test_jobs_of_several_threads_all_end(self, device: Device) -> None:
        with _bench(device) as bench, ThreadPoolExecutor(3) as threads:
            jobs = [bench.relu(self.runtimes[0], SAMPLES + shift) for shift in range(3)]
            for shift, ran in enumerate(threads.map(bench.run, jobs)):
                got = np.load(bench.executor.path(ran.outputs[0]["y"]))
                np.testing.assert_array_equal(got, np.maximum(SAMPLES + shift, 0))


class _Bench:
    """One opened device, and what its jobs need."""

    def __init__(self, device: Device, executor: Executor, folder: Path) -> None:
        self.device, self.executor, self._folder = device, executor, folder
        self._files = 0

    def run(self, job: Job[T]) -> T:
        return self.executor.run_fresh(job, self.device.context())

    def time(self, job: Job[T]) -> T:
        with self.executor.session(self.device.context()) as run:
            return run(job)

    def relu(self, runtime: str, samples: np.ndarray, content: bytes | None = None) -> RunJob:
        """The network of one operator on some samples, or another file in its place."""
        name, known = next(MODELS[kind] for kind in RUNTIMES[runtime].formats if kind in MODELS)
        x = self._blob("x.npy", samples)
        model = self._folder / name
        model.write_bytes(known if content is None else content)
        return RunJob(runtime, (self.executor.add(model),), {"x": x}, (1,), self.device.options())

    def _blob(self, name: str, array: np.ndarray) -> Blob:
        path = self._folder / name
        np.save(path, array)
        return self.executor.add(path)


@contextmanager
def _bench(device: Device) -> Iterator[_Bench]:
    with Executor() as executor, TemporaryDirectory() as folder:
        yield _Bench(device, executor, Path(folder))


def _raised(kind: type[E], bench: _Bench, job: Job[T]) -> E:
    try:
        bench.run(job)
    except kind as error:
        return error
    raise AssertionError(f"{job} was not refused")
