"""Golden results: inputs and outputs of a model, stored beside the test that holds later versions to them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from edgekit.data.read import read_samples
from edgekit.errors import UsageError
from edgekit.exporter.reference import load_source, reference_of
from edgekit.files import write_durably, writing
from edgekit.parity.criteria import judge
from edgekit.results import Parity
from edgekit.samples import GOLDEN_BYTES, save_arrays, save_npz
from edgekit.selection import SUFFIXES, select_one
from edgekit.types import Evidence, Origin
from edgekit.workbench import workbench

Arrays = dict[str, np.ndarray]

SCHEMA = "edgekit.golden/1"

#: Member of the file that holds everything but arrays, as JSON.
_ABOUT = "about"


@dataclass(frozen=True, slots=True)
class Stored:
    """A golden result.

    Attributes:
        inputs, outputs: by name, samples first.
        noise_floor: per output, how far the model moved when its inputs moved by one ulp.
        reacts: per input, whether any output depended on it.
        origin: of the inputs.
        made_by: framework that computed the outputs, such as ``keras 3.15.1``.
    """

    inputs: Arrays
    outputs: Arrays
    noise_floor: Mapping[str, float]
    reacts: Mapping[str, bool]
    origin: Origin
    made_by: str


def run_model(
    model: str | Path, data: str | Path | None, backend: str, stored: Stored | None, folder: Path
) -> Stored:
    """Run a model, or an artifact, on samples.

    Args:
        model: a model, an artifact, or a kit with one.
        data: samples; None for those of the stored result, or generated ones where there is none.
        backend: that runs a Keras model; ``auto`` for the best installed.
        stored: the golden result that there is.
        folder: for scratch files.

    Raises:
        UsageError: a backend for what is no Keras model, or the golden result is that of another model.
        EdgekitError: a model or samples that cannot be used.
    """
    with workbench() as bench:
        source = load_source(bench, _entry(model), backend=backend)
        if backend != "auto" and source.description.kind != "keras":
            raise UsageError(
                "option-without-use",
                f"only Keras models have a backend, and this is {source.description.kind}.",
                received=f"backend={backend!r}",
                hint="Leave out backend=.",
            )
        takes = {spec.name for spec in source.signature.inputs}
        if stored is not None and takes != set(stored.inputs):
            raise _of_another(f"inputs {_names(stored.inputs)}", f"takes {_names(takes)}")
        if data is None and stored is not None:
            paths = save_arrays(folder, "golden-input", stored.inputs)
            data = folder / "golden-inputs.npz"
            save_npz(data, ((name, np.load(path)) for name, path in paths.items()))
        samples = None if data is None else read_samples(data, bench, source.signature)
        found = reference_of(bench, source, samples)
        return Stored(
            inputs={name: np.load(bench.executor.path(blob)) for name, blob in found.inputs.items()},
            outputs={name: np.array(array) for name, array in found.arrays().items()},
            noise_floor=dict(found.noise_floor),
            reacts=dict(found.reacts),
            origin=found.origin if samples is None or stored is None else stored.origin,
            made_by=source.description.framework,
        )
