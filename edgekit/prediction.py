"""`edgekit.predict` and `edgekit.load`: run an artifact on samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from edgekit.data.read import read_samples
from edgekit.devices import opened_devices
from edgekit.devices.on_runtime import on_runtimes, served
from edgekit.errors import UsageError
from edgekit.files import copy_file, writing
from edgekit.progress import SILENT, Reporter
from edgekit.results import Result
from edgekit.runtimes import Session, runtime_for
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob, run_samples
from edgekit.samples import save_npz
from edgekit.selection import select_one
from edgekit.types import Effective, Signature
from edgekit.workbench import workbench

#: Samples per inference where the batch is free.
PREDICT_BATCH = 32


@dataclass(frozen=True, slots=True)
class Prediction(Result):
    """What `predict` returns.

    Attributes:
        output: the ``.npz`` with one array per output name, samples first.
        samples: how many were run.
        outputs: shape and dtype of each array, as ``probs=719x10:float32``.
    """

    schema: ClassVar[str] = "edgekit.predict/1"
    ok: bool
    artifact: str
    runtime: str
    output: str
    samples: int
    outputs: tuple[str, ...]
    effective: Effective


class Predictor:
    """An artifact opened in this process. A context manager.

    Attributes:
        signature: inputs and outputs by name.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.signature: Signature = session.signature

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name, samples first; any number of samples.

        Raises:
            DataError: a name, shape or dtype does not fit.
        """
        batch = self.signature.batch or max(1, min((len(array) for array in inputs.values()), default=1))
        return run_samples(self._session, inputs, batch)

    def close(self) -> None:
        """Free the engine's memory."""
        self._session.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(path: str | Path, *, target: str = "", precision: str = "", threads: int | None = None) -> Predictor:
    """Open an artifact with its engine in this process.

    Args:
        path: a kit or an artifact.
        target, precision: which artifact of a kit, where it holds several.
        threads: inference threads; None is the engine's own choice.

    Raises:
        UsageError: no such artifact.
        MissingError: its engine is not installed.

    Example:
        >>> with edgekit.load("edgekit-out/digits", target="onnx") as model:
        ...     probabilities = model.predict({"image": images})["probs"]
    """
    selected = select_one(path, target, precision)
    runtime = runtime_for(selected.artifact.target).load()()
    return Predictor(runtime.open(selected.files[0], OpenOptions(threads=threads)))


def predict(
    path: str | Path,
    data: str | Path,
    *,
    output: str | Path = "out.npz",
    labels: str | None = None,
    target: str = "",
    precision: str = "",
    device: str = "local",
    runtime: str = "",
    allow_fallback: bool = False,
    reporter: Reporter = SILENT,
) -> Prediction:
    """Run every sample of a data file through an artifact, in an isolated process.

    Args:
        path: a kit or an artifact.
        data: ``.npz`` or ``.npy``.
        output: where to write one array per output name.
        labels: name of an array in the data that is no input; it is left out.
        target, precision: which artifact of a kit.
        device: where to run.
        runtime: with what accelerator: ``onnxruntime:WebGPU``; on the CPU by default.
        allow_fallback: let the CPU stand in for an accelerator that is missing or takes nothing.
        reporter: receives progress.

    Raises:
        UsageError: no such artifact, or the output cannot be written.
        DataError: samples that do not fit.
    """
    selected = select_one(path, target, precision)
    if Path(output).resolve() == Path(data).resolve():
        raise UsageError(
            "output-is-input", "the outputs would overwrite the data.", received=str(output), hint="Choose another -o."
        )
    row = runtime_for(selected.artifact.target)
    with (
        opened_devices(device) as devices,
        workbench(reporter) as bench,
        bench.reporter.task(f"predict with {row.name}") as update,
    ):
        (where,) = on_runtimes(devices, (runtime,) if runtime else (), allow_fallback=allow_fallback)
        served((where,), (selected,))
        where.require(row)
        signature = selected.artifact.signature
        samples = read_samples(data, bench, signature if signature.inputs else None, spare=labels)
        files = tuple(bench.executor.add(file) for file in selected.files)
        job = RunJob(row.name, files, bench.blobs(samples.arrays), (min(len(samples), PREDICT_BATCH),), where.options())
        ran = bench.executor.run_fresh(job, where.context(), update)
        arrays = {name: np.load(bench.executor.path(blob), mmap_mode="r") for name, blob in ran.outputs[0].items()}
        with writing(Path(output)):
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            staged = bench.scratch("predict") / "out.npz"
            save_npz(staged, arrays.items())
            copy_file(staged, Path(output))
        described = tuple(f"{name}={'x'.join(map(str, array.shape))}:{array.dtype}" for name, array in arrays.items())
        version = f"{row.name} {ran.version}"
        return Prediction(True, selected.path, version, str(output), len(samples), described, ran.effective)
