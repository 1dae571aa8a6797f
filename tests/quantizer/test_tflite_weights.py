"""TFLite with weights in fewer bits: which of them, and how they are rounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob, QuantizeJobResult
from edgekit.quantizer.methods import tflite_graph
from edgekit.quantizer.recipe import Recipe
from tests.quantizer import digits


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def quantized(executor: Executor, recipe: Recipe, samples: Path | None = None) -> QuantizeJobResult:
    files = (executor.add(digits.artifacts() / "model.tflite"),)
    calibration = {} if samples is None else {"image": executor.add(samples)}
    job = QuantizeJob(f"tflite:{recipe.precision}", files, digits.signature("tflite"), calibration, recipe)
    return executor.run(job, conversion_context(None))


def stored(executor: Executor, made: QuantizeJobResult) -> Counter[str]:
    """Types of the tensors of a file."""
    model = tflite_graph.parse(executor.path(made.files[0]).read_bytes())
    return Counter(tflite_graph.type_name(tensor) for graph in model.subgraphs for tensor in graph.tensors)


def test_a_share_of_the_weights_in_four_bits(executor: Executor) -> None:
    whole, half = (quantized(executor, Recipe("int4-weights", ratio=ratio)) for ratio in (1.0, 0.5))
    assert stored(executor, whole)["INT4"] == whole.quantized_ops == 3
    assert 0 < stored(executor, half)["INT4"] < 3
    assert stored(executor, half)["INT4"] + stored(executor, half)["INT8"] == 5
    assert whole.files[0].size < half.files[0].size


def test_algorithms_that_the_library_has_no_four_bits_for(executor: Executor, tmp_path: Path) -> None:
    assert stored(executor, quantized(executor, Recipe("int4-weights", algorithm="octav")))["INT4"] == 3
    np.save(tmp_path / "image.npy", digits.images()[0][:20])
    with pytest.raises(UsageError, match="no such algorithm"):
        quantized(executor, Recipe("int4-weights", algorithm="scale"), tmp_path / "image.npy")


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-weights", "int4-weights", "fp16"])
def test_layers_stay_float(executor: Executor, precision: str) -> None:
    whole = quantized(executor, Recipe(precision))
    part = quantized(executor, Recipe(precision, left_float=("type:FULLY_CONNECTED",)))
    assert part.quantized_ops == whole.quantized_ops - 2
    assert part.files[0].size > whole.files[0].size


def test_dynamic_arithmetic_is_counted_and_stored_weights_are_not(executor: Executor) -> None:
    dynamic = quantized(executor, Recipe("int8-dynamic"))
    assert dynamic.macs is not None
    assert dynamic.macs.low_bit == dynamic.macs.total > 0
    assert len(dynamic.layers) == 5
    weights = quantized(executor, Recipe("int8-weights"))
    assert (weights.layers, weights.macs) == ((), None)


def test_weights_behind_the_flatbuffer_are_weights_too(executor: Executor) -> None:
    """ai-edge-quantizer writes larger models so."""
    content = (digits.artifacts() / "model.tflite").read_bytes()
    usual, moved = tflite_graph.parse(content), tflite_graph.parse(content)
    weights = b""
    for buffer in moved.buffers:
        if buffer.data is not None and len(buffer.data) >= 256:
            buffer.offset, buffer.size = len(weights), len(buffer.data)  # from the end of the flatbuffer, for now
            weights += bytes(buffer.data)
            buffer.data = None
            buffer.offset += 1 << 20  # so that it has the room of the final number
    length = len(tflite_graph.write(moved))
    for buffer in moved.buffers:
        buffer.offset += length - (1 << 20) if buffer.size else 0
    behind = tflite_graph.parse(tflite_graph.write(moved) + weights)
    assert [bytes(one.data) for one in behind.buffers if one.data is not None] == [
        bytes(one.data) for one in usual.buffers if one.data is not None
    ]
    assert all(buffer.offset == 0 for buffer in behind.buffers)
    assert len(tflite_graph.write(behind)) > len(weights)
