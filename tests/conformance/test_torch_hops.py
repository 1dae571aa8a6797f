"""Every route from torch modules and programs to every target, on real converters and real engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import ModelError
from edgekit.exporter.describe import DescribeJob, Description
from edgekit.exporter.graph import HOPS, Route, conversion_context, routes
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import Observation, ObserveJob
from edgekit.jobs.code import CALLED_FROM, CODE_PATH, Code
from edgekit.jobs.executor import Executor
from edgekit.jobs.protocol import Job, blob_of
from edgekit.runtimes.base import Arrays, OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob, Signature, TensorSpec
from tests.conformance.hop_suite import TRACES

pytestmark = pytest.mark.xdist_group("torch-hops")  # one bench for all: workers and conversions are shared

ZOO = Path(__file__).parents[1] / "exporter" / "torch_zoo.py"  # its path: importing it takes torch
CODE = {CODE_PATH: str(ZOO.parent), CALLED_FROM: str(ZOO.parent)}

SAMPLES = 8
BATCHES = (1, 3)

#: Batch sizes that each route takes.
ROUTES = {
    "torch.nn>torch.export>onnx": BATCHES,
    "torch.nn>torch.export>openvino": BATCHES,
    "torch.nn>torch.export>tflite": (1,),
}

#: A classifier with normalisation, a recurrent model, token ids with attention, and two inputs with two outputs.
MODELS = ("cnn", "lstm", "encoder", "two")


class Bench:
    """One executor, and every job's result: a job that was run before is not run again."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._results: dict[str, Any] = {}

    def once(self, job: Job[Any], backend: str | None = "torch") -> Any:
        key = f"{job}"  # a job is its message
        if key not in self._results:
            self._results[key] = self.executor.run(job, conversion_context(backend, CODE))
        return self._results[key]

    def describe(self, model: str, **pins: tuple[int | None, ...]) -> Description:
        found: Description = self.once(DescribeJob(SourceSpec("code", (), _loading(model, pins))))
        return found

    def source(self, model: str, **pins: tuple[int | None, ...]) -> SourceSpec:
        """The model with the weights that it was described with."""
        found = self.describe(model, **pins)
        assert found.state is not None
        return SourceSpec(found.kind, (found.state,), _loading(model, pins))

    def observe(self, source: SourceSpec) -> Observation:
        found: Observation = self.once(ObserveJob(source, {}, SAMPLES))
        return found

    def convert(self, route: Route, source: SourceSpec, signature: Signature, *, fresh: bool = False) -> Any:
        files = source.files
        for hop in route.hops:
            job = ConvertJob(hop.name, files, signature, loading=source.loading)
            context = conversion_context(hop.backend, CODE)
            files = self.executor.run_fresh(job, context).files if fresh else self.once(job, hop.backend).files
        return files

    def run(
        self, target: str, files: tuple[Blob, ...], inputs: dict[str, Blob], batches: tuple[int, ...]
    ) -> tuple[Signature, tuple[int, ...], list[Arrays]]:
        job = RunJob(runtime_for(target).name, files, inputs, batches, OpenOptions())
        found = self.once(job, None)
        return found.signature, found.batches, [self.load(outputs) for outputs in found.outputs]

    def load(self, blobs: dict[str, Blob]) -> Arrays:
        return {name: np.load(self.executor.path(blob)) for name, blob in blobs.items()}


def _loading(model: str, pins: dict[str, tuple[int | None, ...]]) -> Loading:
    specs = {name: TensorSpec(name, shape, "") for name, shape in pins.items()}
    return Loading(Code(f"{ZOO.name}:{model}", blob_of(ZOO).sha256), pins=specs)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Executor() as executor:
        yield Bench(executor)


def _route(name: str) -> Route:
    start, *_, target = name.split(">")
    (found,) = routes(start, target, route=name)
    return found


def _check(bench: Bench, name: str, model: str, batches: tuple[int, ...], **pins: tuple[int | None, ...]) -> None:
    source, signature, target = (
        bench.source(model, **pins),
        bench.describe(model, **pins).signature,
        name.split(">")[-1],
    )
    observed = bench.observe(source)
    files = bench.convert(_route(name), source, signature)
    declared, taken, runs = bench.run(target, files, observed.inputs, batches)
    for found, wanted in ((declared.inputs, signature.inputs), (declared.outputs, signature.outputs)):
        assert [(spec.name, spec.dtype, spec.shape[1:]) for spec in found] == [
            (spec.name, spec.dtype, spec.shape[1:]) for spec in wanted
        ]
    assert declared.batch == (None if batches == BATCHES else 1)
    assert taken == batches
    expected = bench.load(observed.outputs)
    for outputs in runs:
        assert list(outputs) == list(expected)
        for output, array in expected.items():
            deviation = float(array.std(axis=0).mean())
            assert deviation > 1e-4, f"{output} does not vary, so nothing would be compared"
            np.testing.assert_allclose(outputs[output], array, atol=1e-3 * deviation, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ROUTES)
def test_a_module_agrees_and_keeps_its_signature(bench: Bench, name: str, model: str) -> None:
    _check(bench, name, model, ROUTES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTES)
def test_structures_and_options_in_the_inputs_survive(bench: Bench, name: str) -> None:
    _check(bench, name, "nested", ROUTES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTES)
def test_a_program_of_the_user_agrees_and_keeps_its_signature(bench: Bench, name: str) -> None:
    _check(bench, name.removeprefix("torch.nn>"), "program", ROUTES[name])


@pytest.mark.slow
def test_a_size_that_the_program_leaves_free_can_be_fixed(bench: Bench) -> None:
    _check(bench, "torch.export>onnx", "program", (1,), signal=(1, 2, 9))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_free_height_and_width_stay_free_and_right(bench: Bench, target: str) -> None:
    free = {"image": (None, 3, None, None)}
    files = bench.convert(
        _route(f"torch.nn>torch.export>{target}"),
        bench.source("unet", **free),
        bench.describe("unet", **free).signature,
    )
    for size in ((32, 32), (20, 48)):
        observed = bench.observe(bench.source("unet", image=(None, 3, *size)))
        declared, _, (outputs,) = bench.run(target, files, observed.inputs, (2,))
        assert declared.outputs[0].shape == (None, 2, None, None)
        np.testing.assert_allclose(outputs["output"], bench.load(observed.outputs)["output"], atol=1e-4)


@pytest.mark.slow
def test_a_free_size_is_refused_by_a_converter_that_would_fix_it(bench: Bench) -> None:
    free = {"image": (None, 3, None, None)}
    with pytest.raises(ModelError) as caught:
        bench.convert(
            _route("torch.nn>torch.export>tflite"),
            bench.source("unet", **free),
            bench.describe("unet", **free).signature,
        )
    assert caught.value.code == "free-size"


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTES)
def test_is_the_same_file_when_made_again_and_says_nothing_about_this_machine(bench: Bench, name: str) -> None:
    source, signature, route = bench.source("cnn"), bench.describe("cnn").signature, _route(name)
    files = bench.convert(route, source, signature)
    content = b"".join(bench.executor.path(blob).read_bytes() for blob in files)
    assert [trace for trace in TRACES if trace in content] == []
    assert bench.convert(route, source, signature, fresh=True) == files


@pytest.mark.slow
def test_normalisation_is_folded_into_convolutions(bench: Bench) -> None:
    """An engine runs a convolution and no arithmetic behind it, whatever the route."""
    source, signature = bench.source("cnn"), bench.describe("cnn").signature
    (onnx_file,) = bench.convert(_route("torch.nn>torch.export>onnx"), source, signature)
    import onnx

    kinds = {node.op_type for node in onnx.load(bench.executor.path(onnx_file)).graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds
    xml, _ = bench.convert(_route("torch.nn>torch.export>openvino"), source, signature)
    assert 'type="BatchNormInference"' not in bench.executor.path(xml).read_text()


@pytest.mark.slow
def test_onnx_has_the_operator_set_asked_for_and_keeps_recurrent_layers_whole(bench: Bench) -> None:
    import onnx

    source, signature = bench.source("lstm"), bench.describe("lstm").signature
    (program,) = bench.once(ConvertJob("torch.nn>torch.export", source.files, signature, loading=source.loading)).files
    job = ConvertJob("torch.export>onnx", (program,), signature, opset=20, loading=source.loading)
    (blob,) = bench.once(job, HOPS[job.hop].backend).files
    model = onnx.load(bench.executor.path(blob))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert {"LSTM", "GRU"} <= {node.op_type for node in model.graph.node}
