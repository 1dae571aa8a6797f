"""What ai-edge-quantizer hands out broken without complaint ends in a working file, or a refusal with the cause."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import DataError, JobCrashed, UsageError
from edgekit.jobs.executor import Executor
from edgekit.quantizer.registry import method_for
from tests.cli.command import copied, edgekit
from tests.conformance.method_suite import sqnr_db
from tests.quantizer import attention, digits
from tests.quantizer.runs import EVALUATION, IMAGES, LABELS, Runs

#: The library's own call, with its defaults.
STOCK = """
import sys
import numpy as np
from ai_edge_quantizer import quantizer, recipe
model, samples, made, kind = sys.argv[1:]
work = quantizer.Quantizer(model, getattr(recipe, kind)())
ranges = None
if kind.startswith("static"):
    ranges = work.calibrate({"serving_default": [{"image": one[None]} for one in np.load(samples)]})
open(made, "wb").write(bytes(work.quantize(ranges).quantized_model))
"""

#: A method that makes a file which crashes its engine, under a precision that TFLite has not.
ROW = """
from edgekit.quantizer.registry import MethodRow
ROW = MethodRow("tflite:bf16", "planted_method:crashing", "quantize", ("ai_edge_quantizer",), "tflite", "bf16")
"""
METHOD = """
import os
import shutil
from edgekit.quantizer.registry import QuantizeOutcome


def crashing(request):
    entry = request.folder / "model.tflite"
    shutil.copy(os.environ["CRASHING"], entry)
    return QuantizeOutcome(entry, 1, {})
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attention.write(tmp_path_factory.mktemp("attention") / "model.tflite")


@pytest.fixture
def runs(executor: Executor, tmp_path: Path) -> Runs:
    return Runs(executor, "tflite", tmp_path)


def stock(model: Path, samples: np.ndarray, kind: str, folder: Path) -> Path:
    """What the library makes of a model."""
    np.save(folder / "samples.npy", samples)
    arguments = (str(model), str(folder / "samples.npy"), str(folder / "stock.tflite"), kind)
    done = subprocess.run(
        [sys.executable, "-c", STOCK, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder / "stock.tflite"


def test_attention_that_the_library_takes_to_chance_is_whole_in_int8(runs: Runs, model: Path, tmp_path: Path) -> None:
    files = runs.files(model)
    reference = runs.scores(files)
    labels = LABELS[EVALUATION]
    assert (reference.argmax(axis=1) == labels).mean() > 0.9
    broken = runs.scores(runs.files(stock(model, IMAGES[:100], "static_wi8_ai8", tmp_path)))
    assert (broken.argmax(axis=1) == labels).mean() < 0.5

    made = runs.quantized(files, "int8")
    assert sqnr_db(reference, runs.scores(made.files)) > 25
    assert made.macs is not None
    assert made.macs.low_bit == made.macs.total > 0


def test_a_dynamic_file_that_the_engine_refuses_runs_with_its_product_in_float(
    runs: Runs, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="BATCH_MATMUL"):
        runs.scores(runs.files(stock(model, IMAGES, "dynamic_wi8_afp32", tmp_path)))
    files = runs.files(model)
    made = runs.quantized(files, "int8-dynamic")
    assert sqnr_db(runs.scores(files), runs.scores(made.files)) > 30


@pytest.mark.parametrize("precision", ["int16", "int8-int16", "bf16"])
def test_precisions_that_do_not_work_are_not_offered(precision: str) -> None:
    """With 16-bit activations the library makes files that LiteRT cannot open."""
    with pytest.raises(UsageError, match="tflite has no precision") as caught:
        method_for("tflite", precision)
    assert "int8, int8-dynamic, int8-weights, int4-weights, fp16" in caught.value.hint


def test_samples_with_nan_crash_the_engine_and_are_refused(runs: Runs, tmp_path: Path) -> None:
    samples = IMAGES[:20].copy()
    samples[3, 2, 2] = np.nan
    model = digits.artifacts() / "model.tflite"
    crashing = stock(model, samples, "static_wi8_ai8", tmp_path)
    with pytest.raises(JobCrashed):
        runs.scores(runs.files(crashing))
    with pytest.raises(DataError, match="NaN"):
        runs.quantized(runs.files(model), "int8", samples)


@pytest.mark.slow
def test_a_file_that_crashes_its_engine_does_not_take_the_command_down(digits_kit: Path, tmp_path: Path) -> None:
    """A third party's method that makes one, beside a method that works."""
    samples = IMAGES[:20].copy()
    samples[3, 2, 2] = np.nan
    crashing = stock(digits.artifacts() / "model.tflite", samples, "static_wi8_ai8", tmp_path)
    info = tmp_path / "planted_method-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-method\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.methods]\ncrashing = planted_row:ROW\n")
    (tmp_path / "planted_row.py").write_text(ROW)
    (tmp_path / "planted_method.py").write_text(METHOD)
    kit = copied(digits_kit, tmp_path)
    done = edgekit(
        *("quantize", kit, "--target", "tflite", "--precision", "bf16", "--precision", "fp16", "--json"),
        cwd=tmp_path,
        variables={"PYTHONPATH": str(tmp_path), "CRASHING": str(crashing)},
    )
    assert done.code == 1, done.err
    rows = {row["precision"]: row for row in done.document["artifacts"]}
    assert rows["bf16"]["path"] is None
    assert rows["bf16"]["attempts"][-1]["outcome"] == "crashed"
    assert rows["fp16"]["verdict"] == "verified"
    assert Path(rows["fp16"]["path"]).is_file()
