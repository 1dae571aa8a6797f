"""Every route from JAX functions and files of jax.export to every target, on real converters and real engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.exporter.describe import DescribeJob, Description
from edgekit.exporter.graph import Route, conversion_context, routes
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import Observation, ObserveJob
from edgekit.jobs.code import CALLED_FROM, CODE_PATH, Code
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Job, blob_of
from edgekit.runtimes.base import Arrays, OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob, Signature
from tests.conformance.hop_suite import TRACES
from tests.exporter import jax_zoo

ZOO = Path(jax_zoo.__file__)
CODE = {CODE_PATH: str(ZOO.parent), CALLED_FROM: str(ZOO.parent)}

#: A module with normalisation and pooling, token ids with attention, a recurrence, two inputs in another order.
MODELS = ("flax", "text", "rnn", "two")

#: The same as files, but for the recurrence: what is in a file is a loop.
FILES = ("flax", "text", "two")

SAMPLES = 8
BATCHES = (1, 3)

ROUTES = {
    "jax>onnx": BATCHES,
    "jax>onnx>openvino": BATCHES,
    "jax>stablehlo>tflite": (1,),
}
FILE_ROUTES = {
    "jax.export>stablehlo>tflite": (1,),
    "jax.export>stablehlo>tflite>openvino": (1,),
    "jax.export>stablehlo>tflite>openvino>onnx": (1,),
}


class Bench:
    """One executor, and every job's result: a job that was run before is not run again."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        self._folder = folder
        self._results: dict[str, Any] = {}
        jax_zoo.build(folder, *FILES, "rnn")

    def once(self, job: Job[Any], backend: str | None) -> Any:
        key = f"{job}"  # a job is its message
        if key not in self._results:
            self._results[key] = self.executor.run(job, conversion_context(backend, CODE))
        return self._results[key]

    def source(self, kind: str, model: str) -> SourceSpec:
        if kind == "jax.export":
            return SourceSpec(kind, (self.executor.add(self._folder / f"{model}.jax"),), Loading())
        code = Code(f"{ZOO.name}:{model}", blob_of(ZOO).sha256)
        return SourceSpec(kind, (self.executor.add(ZOO),), Loading(code))

    def describe(self, kind: str, model: str) -> Description:
        found: Description = self.once(DescribeJob(self.source(kind, model)), "jax")
        return found

    def observe(self, kind: str, model: str) -> Observation:
        found: Observation = self.once(ObserveJob(self.source(kind, model), {}, SAMPLES), "jax")
        return found

    def convert(self, route: Route, model: str) -> tuple[Blob, ...]:
        kind = route.hops[0].source
        source, signature = self.source(kind, model), self.describe(kind, model).signature
        files = source.files
        for hop in route.hops:
            files = self.once(ConvertJob(hop.name, files, signature, loading=source.loading), hop.backend).files
        return files

    def run(
        self, route: Route, model: str, batches: tuple[int, ...]
    ) -> tuple[Signature, tuple[int, ...], list[Arrays]]:
        target = route.hops[-1].destination
        inputs = self.observe(route.hops[0].source, model).inputs
        found = self.once(
            RunJob(runtime_for(target).name, self.convert(route, model), inputs, batches, OpenOptions()), None
        )
        return found.signature, found.batches, [self.load(outputs) for outputs in found.outputs]

    def load(self, blobs: dict[str, Blob]) -> Arrays:
        return {name: np.load(self.executor.path(blob)) for name, blob in blobs.items()}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor, tmp_path_factory.mktemp("exported"))


def _route(name: str) -> Route:
    kind, *_, target = name.split(">")
    (found,) = routes(kind, target, route=name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ROUTES)
def test_a_function_agrees_and_keeps_its_signature(bench: Bench, name: str, model: str) -> None:
    _check(bench, _route(name), model, ROUTES[name])


@pytest.mark.slow
@pytest.mark.parametrize("model", FILES)
@pytest.mark.parametrize("name", FILE_ROUTES)
def test_a_file_agrees_and_keeps_its_signature(bench: Bench, name: str, model: str) -> None:
    _check(bench, _route(name), model, FILE_ROUTES[name])


def _check(bench: Bench, route: Route, model: str, batches: tuple[int, ...]) -> None:
    kind = route.hops[0].source
    source = bench.describe(kind, model).signature
    declared, taken, runs = bench.run(route, model, batches)
    for found, wanted in ((declared.inputs, source.inputs), (declared.outputs, source.outputs)):
        assert [(spec.name, spec.dtype, spec.shape[1:]) for spec in found] == [
            (spec.name, spec.dtype, spec.shape[1:]) for spec in wanted
        ]
    assert declared.batch == (None if batches == BATCHES else 1)
    assert taken == batches
    expected = bench.load(bench.observe(kind, model).outputs)
    for outputs in runs:
        assert list(outputs) == list(expected)
        for output, array in expected.items():
            deviation = float(array.std(axis=0).mean())
            assert deviation > 1e-4, f"{output} does not vary, so nothing would be compared"
            np.testing.assert_allclose(outputs[output], array, atol=1e-3 * deviation, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ROUTES, "jax.export>stablehlo>tflite"])
def test_the_file_is_the_same_when_made_again(bench: Bench, name: str) -> None:
    route, model = _route(name), "flax"
    first = bench.convert(route, model)
    files, signature = bench.source(route.hops[0].source, model).files, bench.describe(route.hops[0].source, model)
    loading = bench.source(route.hops[0].source, model).loading
    for hop in route.hops:
        job = ConvertJob(hop.name, files, signature.signature, loading=loading)
        files = bench.executor.run_fresh(job, conversion_context(hop.backend, CODE)).files
    assert files == first


@pytest.mark.parametrize("name", ["jax>onnx", "jax>stablehlo>tflite", "jax.export>stablehlo>tflite"])
def test_the_file_says_nothing_about_this_machine(bench: Bench, name: str) -> None:
    content = b"".join(bench.executor.path(blob).read_bytes() for blob in bench.convert(_route(name), "two"))
    assert [trace for trace in TRACES if trace in content] == []


def test_a_short_loop_is_written_out(bench: Bench) -> None:
    import onnx

    short, long = (bench.convert(_route("jax>onnx"), model)[0] for model in ("rnn", "long_rnn"))
    assert "Loop" not in {node.op_type for node in onnx.load(bench.executor.path(short)).graph.node}
    assert "Loop" in {node.op_type for node in onnx.load(bench.executor.path(long)).graph.node}


@pytest.mark.parametrize(("kind", "model"), [("jax", "long_rnn"), ("jax.export", "rnn")])
def test_a_loop_that_cannot_be_written_out_is_refused(bench: Bench, kind: str, model: str) -> None:
    with pytest.raises(ModelError) as caught:
        bench.convert(_route(f"{kind}>stablehlo>tflite"), model)
    assert caught.value.code == "too-many-steps"
    assert "unroll" in caught.value.hint


def test_a_file_makes_the_same_tflite_as_the_function(bench: Bench) -> None:
    """Its symbols leave nothing behind: no shapes are computed at run time."""
    sizes = []
    for name in ("jax>stablehlo>tflite", "jax.export>stablehlo>tflite"):
        (blob,) = bench.convert(_route(name), "flax")
        sizes.append(blob.size)
    assert sizes[1] < 1.1 * sizes[0]
