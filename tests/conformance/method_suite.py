"""What every quantization method must do. A method joins with one class; see `test_methods`.

The model is trained, the methods run as the jobs that edgekit runs, and their results run on their real engines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.quantizer.jobs import QuantizeJob, QuantizeJobResult
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import METHODS, MethodRow
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob, RunResult
from edgekit.runtimes.registry import runtime_for
from edgekit.types import Blob, Signature
from tests.quantizer import digits

CALIBRATION = 200

#: Engines run beside the quantizers, so that a file that crashes one is the failure of one test.
ENGINES = Context("engines", {"EDGEKIT_TESTS": "engines"})


class Bench:
    """Quantizes and runs the digits model, each method once."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        self._folder = folder
        self._made: dict[str, QuantizeJobResult] = {}

    def blob(self, name: str, array: np.ndarray) -> Blob:
        path = self._folder / f"{name}.npy"
        np.save(path, array)
        return self.executor.add(path)

    def parent(self, target: str) -> tuple[Blob, ...]:
        return tuple(self.executor.add(digits.artifacts() / name) for name in digits.FILES[target])

    @cached_property
    def calibration(self) -> dict[str, Blob]:
        return {"image": self.blob("calibration", digits.images()[0][:CALIBRATION])}

    @cached_property
    def evaluation(self) -> dict[str, Blob]:
        return {"image": self.blob("evaluation", digits.images()[0][digits.TRAINING :])}

    def quantize(
        self,
        row: MethodRow,
        files: tuple[Blob, ...],
        signature: Signature,
        io: Literal["float", "int8"] = "float",
        seen: list[Progress] | None = None,
    ) -> QuantizeJobResult:
        job = QuantizeJob(
            row.name, files, signature, self.calibration if row.needs_data else {}, Recipe(row.precision, io=io)
        )
        return self.executor.run(job, conversion_context(None), (seen if seen is not None else []).append)

    def made(self, row: MethodRow) -> QuantizeJobResult:
        if row.name not in self._made:
            self._made[row.name] = self.quantize(row, self.parent(row.format), digits.signature(row.format))
        return self._made[row.name]

    def run(self, target: str, files: tuple[Blob, ...], batches: tuple[int, ...] = (1,)) -> RunResult:
        job = RunJob(runtime_for(target).name, files, self.evaluation, batches, OpenOptions(threads=1))
        return self.executor.run(job, ENGINES)

    def scores(self, result: RunResult) -> list[np.ndarray]:
        return [np.load(self.executor.path(outputs["scores"])) for outputs in result.outputs]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("methods")
    before, tempfile.tempdir = tempfile.tempdir, str(folder)  # the executor's folders, to look into afterwards
    try:
        with Executor() as executor:
            tempfile.tempdir = before
            yield Bench(executor, folder)
    finally:
        tempfile.tempdir = before


def sqnr_db(reference: np.ndarray, got: np.ndarray) -> float:
    reference, got = reference.astype(np.float64), got.astype(np.float64)
    return float(10 * np.log10((reference**2).sum() / ((reference - got) ** 2).sum()))


class MethodSuite:
    """Tests of one method.

    Attributes:
        method: name in the registry.
        floor_db: least SQNR of the probabilities against fp32.
        least_ops: least number of operators or weights that it quantizes in the digits model.
        smaller: largest size of the result relative to fp32.
        batch_atol: how much a sample's scores may depend on the others in its batch.
    """

    method: ClassVar[str]
    floor_db: ClassVar[float]
    least_ops: ClassVar[int]
    smaller: ClassVar[float]
    batch_atol: ClassVar[float] = 1e-3

    @property
    def row(self) -> MethodRow:
        return METHODS[self.method]

    def test_agrees_with_its_parent_on_its_engine(self, bench: Bench) -> None:
        (reference,) = bench.scores(bench.run(self.row.format, bench.parent(self.row.format)))
        (got,) = bench.scores(bench.run(self.row.format, bench.made(self.row).files))
        assert len(np.unique(reference.argmax(axis=1))) == 10
        assert got.std(axis=0).min() > 0.05
        assert sqnr_db(reference, got) >= self.floor_db
        assert (reference.argmax(axis=1) == got.argmax(axis=1)).mean() >= 0.98

    def test_keeps_names_order_dtypes_and_batch(self, bench: Bench) -> None:
        target = self.row.format
        before = bench.run(target, bench.parent(target)).signature
        after = bench.run(target, bench.made(self.row).files, (1, 3))
        assert after.signature.inputs == before.inputs
        assert [(spec.name, spec.dtype) for spec in after.signature.outputs] == [("scores", "float32")]
        assert after.batches == ((1,) if target == "tflite" else (1, 3))
        first, *others = bench.scores(after)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=0, atol=self.batch_atol)

    def test_says_what_it_did(self, bench: Bench) -> None:
        made = bench.made(self.row)
        assert made.quantized_ops >= self.least_ops
        assert made.settings["method"] == self.method
        assert made.settings["tool"].split()[1][0].isdigit()
        assert [blob.name for blob in made.files] == list(digits.FILES[self.row.format])

    def test_is_smaller(self, bench: Bench) -> None:
        before = sum(blob.size for blob in bench.parent(self.row.format))
        assert sum(blob.size for blob in bench.made(self.row).files) <= self.smaller * before

    def test_the_same_input_gives_the_same_file(self, bench: Bench) -> None:
        seen: list[Progress] = []
        again = bench.quantize(self.row, bench.parent(self.row.format), digits.signature(self.row.format), seen=seen)
        assert again.files == bench.made(self.row).files
        counted = [progress for progress in seen if progress.stage == "calibrate"]
        if self.row.needs_data:
            assert counted[-1] == Progress("calibrate", CALIBRATION, CALIBRATION)
        else:
            assert not counted

    def test_refuses_its_own_result(self, bench: Bench) -> None:
        with pytest.raises(UsageError) as caught:
            bench.quantize(self.row, bench.made(self.row).files, digits.signature(self.row.format))
        assert caught.value.code == "already-quantized"

    def test_int8_inputs_and_outputs_are_made_or_refused(self, bench: Bench) -> None:
        target = self.row.format
        if not self.row.int8_io:
            with pytest.raises(UsageError) as caught:
                bench.quantize(self.row, bench.parent(target), digits.signature(target), io="int8")
            assert caught.value.code == "io-not-supported"
            return
        files = bench.quantize(self.row, bench.parent(target), digits.signature(target), io="int8").files
        assert files != bench.made(self.row).files
        (reference,) = bench.scores(bench.run(target, bench.parent(target)))
        (got,) = bench.scores(bench.run(target, files))
        assert sqnr_db(reference, got) >= self.floor_db
