"""What every route from a Keras model to an artifact must do. A hop joins with one class per route; see `test_hops`.

Everything runs as in the product: each conversion and each run of an artifact in a worker process, the reference by
Keras on JAX.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.exporter.describe import DescribeJob
from edgekit.exporter.graph import Route, conversion_context, routes
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Job
from edgekit.runtimes.base import Arrays, OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob, Signature, TensorSpec
from tests.exporter import zoo

#: A classifier with normalisation and pooling, a recurrent layer, and two inputs with two outputs.
MODELS = ("cnn", "lstm", "two")

#: A model with free height and width.
ANYSIZE = "anysize"

SAMPLES = 8
BATCHES = (1, 3)

T = TypeVar("T")

#: Bytes that would tell where an artifact was made.
TRACES = (str(Path(__file__).parents[2]).encode(), b"site-packages", b"/tmp/", str(Path.home()).encode())


class Bench:
    """One executor, the zoo, and every job's result: a job that was run before is not run again."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        self._folder = zoo.build(folder, *MODELS, ANYSIZE)
        self._results: dict[str, Any] = {}

    def once(self, job: Job[T], context: Context) -> T:
        key = f"{job}"  # a job is its message
        if key not in self._results:
            self._results[key] = self.executor.run(job, context)
        result: T = self._results[key]
        return result

    def source(self, model: str) -> Blob:
        return self.executor.add(self._folder / f"{model}.keras")

    def signature(self, model: str) -> Signature:
        return self.once(DescribeJob(self.spec(model)), conversion_context("jax")).signature

    def spec(self, model: str, pins: dict[str, tuple[int | None, ...]] | None = None) -> SourceSpec:
        specs = {name: TensorSpec(name, shape, "") for name, shape in (pins or {}).items()}
        return SourceSpec("keras", (self.source(model),), Loading(pins=specs))

    def reference(self, model: str, pins: dict[str, tuple[int | None, ...]]) -> tuple[dict[str, Blob], Arrays]:
        """Inputs, and what Keras on JAX makes of them."""
        found = self.once(ObserveJob(self.spec(model, pins), {}, SAMPLES), conversion_context("jax"))
        return found.inputs, self._load(found.outputs)

    def convert(self, route: Route, model: str) -> tuple[Blob, ...]:
        """The artifact's files."""
        files: tuple[Blob, ...] = (self.source(model),)
        for hop in route.hops:
            files = self.once(ConvertJob(hop.name, files, self.signature(model)), conversion_context(hop.backend)).files
        return files

    def convert_again(self, route: Route, model: str) -> tuple[Blob, ...]:
        """The same, each hop in a process of its own."""
        files: tuple[Blob, ...] = (self.source(model),)
        for hop in route.hops:
            files = self.executor.run_fresh(
                ConvertJob(hop.name, files, self.signature(model)), conversion_context(hop.backend)
            ).files
        return files

    def run(
        self, target: str, files: tuple[Blob, ...], inputs: dict[str, Blob], batches: tuple[int, ...]
    ) -> tuple[Signature, tuple[int, ...], list[Arrays]]:
        """What the artifact declares, the batch sizes that it takes, and its outputs for each."""
        job = RunJob(runtime_for(target).name, files, inputs, batches, OpenOptions())
        found = self.once(job, conversion_context(None))
        return found.signature, found.batches, [self._load(outputs) for outputs in found.outputs]

    def content(self, files: tuple[Blob, ...]) -> bytes:
        return b"".join(self.executor.path(blob).read_bytes() for blob in files)

    def _load(self, blobs: dict[str, Blob]) -> Arrays:
        return {name: np.load(self.executor.path(blob)) for name, blob in blobs.items()}


class HopSuite:
    """Behaviour of one route.

    Attributes:
        target: artifact format.
        route: its name.
        gaps: tests that cannot pass, with the reason; the suite reports when one closes.
    """

    target: ClassVar[str]
    route: ClassVar[str]
    gaps: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _gap(self, request: pytest.FixtureRequest) -> None:
        reason = self.gaps.get(request.function.__name__)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture
    def path(self) -> Route:
        (found,) = routes("keras", self.target, route=self.route)
        return found

    @pytest.mark.parametrize("model", MODELS)
    def test_agrees_with_the_source(self, bench: Bench, path: Route, model: str) -> None:
        inputs, expected = bench.reference(model, {})
        _, _, runs = bench.run(self.target, bench.convert(path, model), inputs, BATCHES)
        for outputs in runs:
            _agree(expected, outputs)

    @pytest.mark.parametrize("model", MODELS)
    def test_declares_names_order_and_types_of_the_source(self, bench: Bench, path: Route, model: str) -> None:
        inputs, _ = bench.reference(model, {})
        declared, _, _ = bench.run(self.target, bench.convert(path, model), inputs, BATCHES)
        expected = bench.signature(model)
        for found, wanted in ((declared.inputs, expected.inputs), (declared.outputs, expected.outputs)):
            assert [(spec.name, spec.dtype) for spec in found] == [(spec.name, spec.dtype) for spec in wanted]
            assert [spec.shape[1:] for spec in found] == [spec.shape[1:] for spec in wanted]

    @pytest.mark.parametrize("model", MODELS)
    def test_keeps_the_batch_free(self, bench: Bench, path: Route, model: str) -> None:
        inputs, _ = bench.reference(model, {})
        declared, batches, _ = bench.run(self.target, bench.convert(path, model), inputs, BATCHES)
        assert declared.batch is None
        assert [spec.shape[0] for spec in declared.outputs] == [None] * len(declared.outputs)
        assert batches == BATCHES

    def test_keeps_free_height_and_width(self, bench: Bench, path: Route) -> None:
        files = bench.convert(path, ANYSIZE)
        for size in ((32, 32), (25, 47)):
            inputs, expected = bench.reference(ANYSIZE, {"image": (None, *size, 3)})
            _, _, (outputs,) = bench.run(self.target, files, inputs, (2,))
            _agree(expected, outputs)

    def test_is_right_or_refused_for_free_height_and_width(self, bench: Bench, path: Route) -> None:
        """A size that was baked in must never reach the user as a free one."""
        if "test_keeps_free_height_and_width" not in self.gaps:
            pytest.skip("it keeps them free")
        with pytest.raises(ModelError) as caught:
            bench.convert(path, ANYSIZE)
        assert caught.value.code == "free-size"
        assert "--input image=?x224x224x3" in caught.value.hint

    def test_says_nothing_about_this_machine(self, bench: Bench, path: Route) -> None:
        content = bench.content(bench.convert(path, "cnn"))
        assert [trace for trace in TRACES if trace in content] == []

    @pytest.mark.slow
    def test_is_the_same_file_when_made_again(self, bench: Bench, path: Route) -> None:
        assert bench.convert_again(path, "two") == bench.convert_again(path, "two")


def _agree(expected: Arrays, found: Arrays) -> None:
    """Equal to rounding: a thousandth of each output's deviation over samples, which must not be nothing."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        deviation = float(array.std(axis=0).mean())
        assert deviation > 1e-4, f"{name} does not vary, so nothing would be compared"
        np.testing.assert_allclose(found[name], array, atol=1e-3 * deviation, rtol=0)
