"""Tapped files compute what they did and show what lies between; a piece computes its part of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.files import companions
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob
from edgekit.runtimes import OpenOptions, runtime_for
from edgekit.runtimes.jobs import RunJob
from edgekit.surgery.base import Graph
from edgekit.surgery.jobs import CutJob, ReadGraphJob, TapJob
from edgekit.surgery.needs import needed
from edgekit.surgery.registry import SURGEONS
from edgekit.types import Blob
from tests import models
from tests.quantizer import digits

Arrays = dict[str, np.ndarray]

TARGETS = tuple(row.name for row in SURGEONS)
SAMPLES = 5


class Bench:
    """Looks into one artifact and runs what comes of it."""

    def __init__(self, executor: Executor, folder: Path, target: str, entry: Path, inputs: Arrays) -> None:
        self.executor, self.folder, self.target, self.inputs = executor, folder, target, inputs
        self.files = tuple(executor.add(path) for path in (entry, *companions(entry)) if path.is_file())
        self.context = conversion_context(None)

    def graph(self) -> Graph:
        return self.executor.run(ReadGraphJob(self.target, self.files), self.context)

    def tap(self, *tensors: str) -> tuple[Blob, ...]:
        return self.executor.run(TapJob(self.target, self.files, tensors), self.context).files

    def cut(self, inputs: Mapping[str, np.ndarray], *outputs: str) -> tuple[Blob, ...]:
        shapes = {name: array.shape for name, array in inputs.items()}
        return self.executor.run(CutJob(self.target, self.files, shapes, outputs), self.context).files

    def run(self, files: tuple[Blob, ...], inputs: Mapping[str, np.ndarray], batch: int = 1) -> Arrays:
        blobs = {}
        for index, (name, array) in enumerate(inputs.items()):
            path = self.folder / f"{index}.npy"
            np.save(path, array)
            blobs[name] = self.executor.add(path)
        job = RunJob(runtime_for(self.target).name, files, blobs, (batch,), OpenOptions())
        ran = self.executor.run_fresh(job, self.context)
        return {name: np.load(self.executor.path(blob)) for name, blob in ran.outputs[0].items()}


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor() as one:
        yield one


@pytest.fixture
def twin(target: str, request: pytest.FixtureRequest, executor: Executor, tmp_path: Path) -> Bench:
    """Two inputs and two outputs, one of which lies on the way to the other."""
    entry = request.getfixturevalue(f"twin_{target}")
    return Bench(executor, tmp_path, target, entry, models.twin_inputs(SAMPLES))


@pytest.fixture
def cnn(target: str, executor: Executor, tmp_path: Path) -> Bench:
    """A trained network of convolutions."""
    entry = digits.artifacts() / digits.FILES[target][0]
    return Bench(executor, tmp_path, target, entry, {"image": digits.images()[0][:SAMPLES]})


@pytest.fixture
def quantized(cnn: Bench) -> Bench:
    """The same in int8."""
    path = cnn.folder / "calibration.npy"
    np.save(path, digits.images()[0][:50])
    signature, samples = digits.signature(cnn.target), {"image": cnn.executor.add(path)}
    job = QuantizeJob(f"{cnn.target}:int8", cnn.files, signature, samples)
    cnn.files = cnn.executor.run(job, cnn.context).files
    return cnn


def floats(graph: Graph) -> list[str]:
    """Computed tensors of floating point, in order."""
    made = [name for operator in graph.operators for name in operator.outputs]
    return [name for name in made if name in graph.tensors and graph.tensors[name].dtype == "float32"]


def leads(graph: Graph, tensor: str, result: str) -> bool:
    """Whether the result follows from this tensor alone."""
    try:
        return bool(needed(graph, (tensor,), (result,)))
    except UsageError:
        return False


def test_a_graph_names_its_ends_as_the_signature_does(twin: Bench) -> None:
    graph = twin.graph()
    assert sorted(graph.inputs) == sorted(models.INPUTS)
    assert sorted(graph.outputs) == sorted(models.OUTPUTS)
    made = {name for operator in graph.operators for name in operator.outputs}
    assert set(graph.outputs) <= made
    taken = {name for operator in graph.operators for name in operator.inputs}
    assert set(graph.inputs) <= taken
    assert taken <= made | set(graph.inputs), "weights are no computed tensors"


def test_operators_come_in_an_order_in_which_they_can_run(cnn: Bench) -> None:
    graph = cnn.graph()
    known = set(graph.inputs)
    for operator in graph.operators:
        assert set(operator.inputs) <= known
        known |= set(operator.outputs)


def test_a_tapped_artifact_computes_what_it_did(cnn: Bench) -> None:
    graph = cnn.graph()
    taps = floats(graph)
    assert len(taps) >= 5
    plain, tapped = cnn.run(cnn.files, cnn.inputs), cnn.run(cnn.tap(*taps), cnn.inputs)
    assert list(tapped)[: len(plain)] == list(plain)
    assert set(tapped) == {*plain, *taps}
    for name, array in plain.items():
        assert np.std(array, axis=0).max() > 1e-3
        np.testing.assert_allclose(tapped[name], array, rtol=1e-4, atol=1e-5)


def test_a_tensor_that_is_an_output_is_not_given_twice(twin: Bench) -> None:
    outputs = twin.run(twin.tap("embed"), twin.inputs)
    assert sorted(outputs) == ["embed", "score"]
    for name, wanted in models.twin_outputs(twin.inputs).items():
        np.testing.assert_allclose(outputs[name], wanted, rtol=1e-4, atol=1e-5)


def test_the_pieces_after_and_before_a_tensor_give_the_whole(cnn: Bench) -> None:
    graph = cnn.graph()
    (result,) = graph.outputs
    ways = [name for name in floats(graph) if name != result and leads(graph, name, result)]
    middle = ways[len(ways) // 2]
    whole = cnn.run(cnn.tap(middle), cnn.inputs)
    first = {name: array[:1] for name, array in cnn.inputs.items()}
    before = cnn.run(cnn.cut(first, middle), cnn.inputs)
    np.testing.assert_allclose(before[middle], whole[middle], rtol=1e-4, atol=1e-5)
    after = cnn.run(cnn.cut({middle: whole[middle][:1]}, result), {middle: whole[middle]})
    np.testing.assert_allclose(after[result], whole[result], rtol=1e-4, atol=1e-5)


def test_a_piece_is_smaller_than_the_whole(cnn: Bench) -> None:
    graph = cnn.graph()
    first = floats(graph)[0]
    piece = cnn.cut({name: array[:1] for name, array in cnn.inputs.items()}, first)
    assert sum(file.size for file in piece) < sum(file.size for file in cnn.files)


def test_a_piece_that_needs_more_inputs_is_refused(twin: Bench) -> None:
    with pytest.raises(UsageError, match="needs the tensor token"):
        twin.cut({"wide": twin.inputs["wide"][:1]}, "score")


def test_quantized_tensors_can_be_tapped(quantized: Bench) -> None:
    graph = quantized.graph()
    taps = [name for operator in graph.operators for name in operator.outputs if name in graph.tensors]
    plain, tapped = (
        quantized.run(quantized.files, quantized.inputs),
        quantized.run(quantized.tap(*taps), quantized.inputs),
    )
    (name,) = plain
    assert len(tapped) > 5
    assert np.abs(tapped[name] - plain[name]).max() < 0.2 * plain[name].std(), "an unfused kernel rounds otherwise"
    if quantized.target == "tflite":
        scale, zero = next(iter(graph.quantized.values()))
        assert scale > 0
        assert zero == round(zero)


def test_weights_that_are_kept_in_fewer_bits_are_no_operators(quantized: Bench) -> None:
    """And yet a piece of the model has them."""
    graph = quantized.graph()
    assert all(operator.inputs for operator in graph.operators)
    (result,) = graph.outputs
    made = [name for one in graph.operators for name in one.outputs if name in graph.tensors and name != result]
    first = {name: array[:1] for name, array in quantized.inputs.items()}
    middle = next(one.outputs[0] for one in graph.operators if "conv" in one.kind.lower())
    assert middle in made
    before = quantized.run(quantized.cut(first, middle), quantized.inputs)
    whole = quantized.run(quantized.tap(middle), quantized.inputs)
    assert whole[middle].std(axis=0).max() > 1e-3
    np.testing.assert_allclose(before[middle], whole[middle], atol=0.1 * float(whole[middle].std()))
