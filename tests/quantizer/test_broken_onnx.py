"""What NNCF makes of an ONNX model that onnxruntime cannot run, and that edgekit makes the same thing run.

Each test makes the library's own result first, so that it says when the fault is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob
from edgekit.quantizer.recipe import Recipe
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.types import Blob
from tests.conformance.method_suite import sqnr_db
from tests.quantizer import digits, stock_nncf

DIGITS = digits.artifacts() / "model.onnx"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def scores(executor: Executor, files: tuple[Blob, ...], folder: Path) -> np.ndarray:
    np.save(folder / "images.npy", digits.images()[0][digits.TRAINING :][:200])
    job = RunJob("onnxruntime", files, {"image": executor.add(folder / "images.npy")}, (1,), OpenOptions(threads=1))
    ran = executor.run_fresh(job, conversion_context(None))
    loaded: np.ndarray = np.load(executor.path(ran.outputs[0]["scores"]))
    return loaded


def quantized(executor: Executor, parent: Path, recipe: str, folder: Path) -> tuple[Blob, ...]:
    """What edgekit makes."""
    parsed = Recipe.parse(recipe)
    np.save(folder / "calibration.npy", digits.images()[0][:100])
    calibration = {"image": executor.add(folder / "calibration.npy")} if parsed.precision == "int8" else {}
    files = (executor.add(parent),)
    job = QuantizeJob(f"onnx:{parsed.precision}", files, digits.signature("onnx"), calibration, parsed)
    return executor.run(job, conversion_context(None)).files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "symptom", "recipe", "floor_db"),
    [
        ("depthwise", "QLinearConv", "int8", 36),
        ("weights_of_convolutions", "DequantizeLinear", "int8-weights", 42),
        ("four_bits_asymmetric", "zero_point", "int4-weights_asym", 30),
    ],
)
def test_what_the_library_breaks_works(
    executor: Executor, tmp_path: Path, case: str, symptom: str, recipe: str, floor_db: float
) -> None:
    stock = tuple(executor.add(path) for path in stock_nncf.made(case, tmp_path / "stock"))
    with pytest.raises(EdgekitError, match=symptom):
        scores(executor, stock, tmp_path)
    parent = tmp_path / "stock" / "parent.onnx"
    if not parent.is_file():
        parent = DIGITS
    reference = scores(executor, (executor.add(parent),), tmp_path)
    got = scores(executor, quantized(executor, parent, recipe, tmp_path), tmp_path)
    assert got.std(axis=0).min() > 0.05
    assert sqnr_db(reference, got) >= floor_db


@pytest.mark.slow
def test_groups_that_the_engine_cannot_run_are_refused(executor: Executor, tmp_path: Path) -> None:
    stock = tuple(executor.add(path) for path in stock_nncf.made("four_bits_by_eight", tmp_path / "stock"))
    with pytest.raises(EdgekitError, match="block_size"):
        scores(executor, stock, tmp_path)
    for group in (8, -1, 512):
        with pytest.raises(UsageError) as caught:
            quantized(executor, DIGITS, f"int4-weights_g{group}", tmp_path)
        assert caught.value.code == "group-size"
        assert "16, 32, 64, 128, 256" in str(caught.value.hint)
    assert quantized(executor, DIGITS, "int4-weights_g16", tmp_path)
