"""What NNCF makes of an OpenVINO model that computes something else, and what edgekit does about it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import JobFailed, UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob
from edgekit.types import Signature, TensorSpec
from tests.conformance.method_suite import sqnr_db
from tests.quantizer import stock_nncf
from tests.quantizer.runs import Runs


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture
def runs(executor: Executor, tmp_path: Path) -> Runs:
    return Runs(executor, "openvino", tmp_path)


@pytest.mark.slow
def test_a_smoothed_model_that_the_engine_gets_wrong_is_refused_with_the_cause(runs: Runs, tmp_path: Path) -> None:
    stock = runs.files(*stock_nncf.made("smoothed", tmp_path / "stock"))
    parent = runs.files(*(tmp_path / "stock" / name for name in ("parent.xml", "parent.bin")))
    reference = runs.scores(parent)
    broken = sqnr_db(reference, runs.scores(stock))  # it loads and runs, and nothing complains
    with pytest.raises(JobFailed) as caught:
        runs.quantized(parent, "int8_transformer_smooth95")
    assert caught.value.code == "wrong-fusion"
    assert "smooth_quant" in str(caught.value.hint)
    made = runs.quantized(parent, "int8_transformer")
    assert sqnr_db(reference, runs.scores(made.files)) > broken + 15


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
@pytest.mark.slow
def test_a_torch_program_that_was_quantized_before_its_conversion_is_refused(
    executor: Executor, tmp_path: Path
) -> None:
    """Its conversion loses accuracy: edgekit quantizes the exported artifact, and no artifact twice."""
    files = tuple(executor.add(path) for path in stock_nncf.made("torch_program", tmp_path / "stock"))
    signature = Signature((TensorSpec("x", (1, 1, 8, 8), "float32"),), (TensorSpec("y", (1, 10), "float32"),))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32))
    job = QuantizeJob("openvino:int8", files, signature, {"x": executor.add(tmp_path / "x.npy")})
    with pytest.raises(UsageError) as caught:
        executor.run(job, conversion_context(None))
    assert caught.value.code == "already-quantized"
