"""What NNCF makes of an ONNX model that onnxruntime cannot run, and that edgekit makes the same thing run.

Each test makes the library's own result first, so that it says when the fault is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit.jobs.executor import Executor
from tests.conformance.method_suite import sqnr_db
from tests.quantizer import digits, stock_nncf
from tests.quantizer.runs import Runs

DIGITS = digits.artifacts() / "model.onnx"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def runs(executor: Executor, tmp_path: Path) -> Runs:
    return Runs(executor, "onnx", tmp_path)


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
    runs: Runs, tmp_path: Path, case: str, symptom: str, recipe: str, floor_db: float
) -> None:
    stock = runs.files(*stock_nncf.made(case, tmp_path / "stock"))
    with pytest.raises(EdgekitError, match=symptom):
        runs.scores(stock)
    parent = tmp_path / "stock" / "parent.onnx"
    if not parent.is_file():
        parent = DIGITS
    files = runs.files(parent)
    reference = runs.scores(files)
    got = runs.scores(runs.quantized(files, recipe).files)
    assert got.std(axis=0).min() > 0.05
    assert sqnr_db(reference, got) >= floor_db


@pytest.mark.slow
def test_groups_that_the_engine_cannot_run_are_refused(runs: Runs, tmp_path: Path) -> None:
    stock = runs.files(*stock_nncf.made("four_bits_by_eight", tmp_path / "stock"))
    with pytest.raises(EdgekitError, match="block_size"):
        runs.scores(stock)
    for group in (8, -1, 512):
        with pytest.raises(UsageError) as caught:
            runs.quantized(runs.files(DIGITS), f"int4-weights_g{group}")
        assert caught.value.code == "group-size"
        assert "16, 32, 64, 128, 256" in str(caught.value.hint)
    assert runs.quantized(runs.files(DIGITS), "int4-weights_g16").files
