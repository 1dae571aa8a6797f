"""The one entry for the user's data: every form, read and checked, as arrays on disk."""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path

from edgekit.data.arrays import read_arrays
from edgekit.data.checks import check_samples
from edgekit.data.job import DATA_PATH, ReadJob
from edgekit.data.registry import FormRow, form_of
from edgekit.data.spec import DataSpec, parse_data
from edgekit.errors import DataError, UsageError
from edgekit.jobs.code import code_environment, imported_by
from edgekit.jobs.process import Context
from edgekit.samples import Samples
from edgekit.types import Signature
from edgekit.workbench import Workbench

#: Most that is written of one data set, unless EDGEKIT_DATA_GB says otherwise.
MOST_GB = 8.0


def read_samples(
    data: str | Path,
    bench: Workbench,
    signature: Signature | None,
    labels: str | None = None,
    *,
    spare: str | None = None,
) -> Samples:
    """Read ``--data`` once, check it against a model, and leave it on disk for as long as the command runs.

    Args:
        data: an ``.npz`` with arrays by input name, an ``.npy`` for a model with one input, a folder of images, a
            ``.csv``, ``.tsv`` or ``.parquet`` table, or ``file.py:function`` that yields batches; options behind a
            question mark, see `edgekit.data.registry.FORMS`.
        bench: of this command.
        signature: what the model takes; None where only the engine knows, which then does the check.
        labels: name of the array, column or key that holds the labels; ``folder`` for the sub-folders of images.
        spare: name of labels that may be there, but are not needed here.

    Raises:
        DataError: no such data, names, shapes or dtypes that do not fit, arrays of different lengths, no samples,
            NaN or infinity, or labels among the inputs.
        MissingError: a package that reads this form, or that the code imports, is not installed.
        UsageError: a bad EDGEKIT_DATA_GB.
    """
    spec = parse_data(data)
    row = form_of(spec)
    row.require()
    if labels is not None and signature is not None and labels in (one.name for one in signature.inputs):
        raise DataError(
            "labels-in-inputs",
            "--labels names an input of the model, so that nothing could be told from it.",
            received=f"--labels {labels}",
            hint="Name the array that holds the labels.",
        )
    if row.name == "arrays":
        samples = read_arrays(spec.path, bench.scratch("data"), signature, labels, spare)
    else:
        samples = _read_in_job(spec, row, bench, signature, labels, spare)
    if signature is not None:
        check_samples(signature, samples)
    return samples


def _read_in_job(
    spec: DataSpec, row: FormRow, bench: Workbench, signature: Signature | None, labels: str | None, spare: str | None
) -> Samples:
    if signature is None:
        raise DataError(
            "unknown-inputs",
            f"{row.what} can only be read for a model whose inputs are known before it is opened.",
            received=spec.text,
            hint="Give an .npz with one array per input, or an artifact of a kit.",
        )
    job = ReadJob(row.name, spec.text, spec.code, dict(spec.options), signature, labels, spare, _most_bytes())
    with bench.reporter.task("read the data") as update:
        result = bench.executor.run_fresh(job, _context(spec), update)
    arrays = {name: bench.executor.path(blob) for name, blob in result.arrays.items()}
    return Samples(arrays, None if result.labels is None else bench.executor.path(result.labels), spec.text)


def _context(spec: DataSpec) -> Context:
    """A process that finds the data, or the code and the frameworks that its text imports."""
    env = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if spec.code is None:
        return Context("data", {**env, DATA_PATH: str(spec.path.resolve())})
    imported = imported_by(spec.path)
    env |= code_environment([spec.path])
    backends = [name for name in ("torch", "tensorflow", "jax") if util.find_spec(name) is not None]
    backends.sort(key=lambda name: name not in imported)  # the one that the code itself uses
    return Context("data", {**env, "KERAS_BACKEND": backends[0]} if backends else env)


def _most_bytes() -> int:
    text = os.environ.get("EDGEKIT_DATA_GB", str(MOST_GB))
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < 1e6:
        raise UsageError(
            "bad-setting", "EDGEKIT_DATA_GB is a number above zero.", received=text, hint="Unset EDGEKIT_DATA_GB."
        )
    return int(limit * 2**30)
