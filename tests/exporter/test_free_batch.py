"""Models that JAX or jax2onnx cannot take with a free batch keep it all the same, and agree at every batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekit.errors import ModelError
from edgekit.exporter.describe import DescribeJob
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.hops._batches import BATCHES, with_free_batch
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.jobs.executor import Executor
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob
from tests.exporter import zoo

MODELS = ("resized", "masked", "volume", "classes")


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.build(tmp_path_factory.mktemp("zoo"), *MODELS)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_artifact_agrees_at_every_batch(executor: Executor, folder: Path, model: str) -> None:
    context = conversion_context("jax")
    source = SourceSpec("keras", (executor.add(folder / f"{model}.keras"),), Loading())
    signature = executor.run(DescribeJob(source), context).signature
    observed = executor.run(ObserveJob(source, {}, 12), context)
    files = executor.run(ConvertJob("keras@jax>onnx", source.files, signature), context).files
    batches = (1, 2, 3, 12)
    ran = executor.run(RunJob("onnxruntime", files, observed.inputs, batches, OpenOptions()), conversion_context(None))
    assert ran.batches == batches
    for outputs in ran.outputs:
        for name, blob in observed.outputs.items():
            expected, found = (np.load(executor.path(each)) for each in (blob, outputs[name]))
            assert expected.std(axis=0).mean() > 1e-4, f"{name} does not vary, so nothing would be compared"
            np.testing.assert_allclose(found, expected, atol=1e-4)


def _of_batch(batch: int, *, odd: bool = False) -> onnx.ModelProto:
    """``y``: ``x (batch, 6)`` in pairs, times ones, plus a row that is the same for every sample."""
    shape = np.array([batch, 3, 2], np.int64)
    row = np.tile(np.arange(6, dtype=np.float32).reshape(1, 3, 2), (batch, 1, 1))
    if odd:
        row[-1] = 0
    arrays = {"shape": shape, "row": row, "length": np.array(batch * 2 + 1, np.int64)}
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["pairs"], "reshape"),
        helper.make_node("Add", ["pairs", "row"], ["sum"], "add"),
        helper.make_node("Cast", ["length"], ["float"], "cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["sum", "float"], ["y"], "mul"),
    ]
    values = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [batch, 6]), ("y", [batch, 3, 2]))]
    graph = helper.make_graph(nodes, "model", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("batch", [1, 4, 9])
def test_constants_that_follow_the_batch_become_expressions_of_it(batch: int) -> None:
    import onnxruntime

    model = with_free_batch([_of_batch(size) for size in BATCHES], ["x"])
    onnx.checker.check_model(model, full_check=True)
    x = np.arange(batch * 6, dtype=np.float32).reshape(batch, 6)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, (x.reshape(batch, 3, 2) + np.arange(6).reshape(3, 2)) * (2 * batch + 1))


def test_graphs_that_differ_in_more_are_refused() -> None:
    with pytest.raises(ModelError) as caught:
        with_free_batch([_of_batch(size, odd=True) for size in BATCHES], ["x"])
    assert caught.value.code == "batch-not-free"
    assert "row" in str(caught.value)
