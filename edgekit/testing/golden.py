"""Golden results: inputs and outputs of a model, stored beside the test that holds later versions to them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.checked import Parity
from edgekit.data.read import read_samples
from edgekit.errors import UsageError
from edgekit.exporter.reference import load_source, reference_of
from edgekit.files import write_durably, writing
from edgekit.kit import MANIFEST
from edgekit.parity.criteria import judge
from edgekit.samples import GOLDEN_BYTES, save_npz
from edgekit.selection import select_one
from edgekit.types import Evidence, Origin
from edgekit.workbench import workbench

Arrays = dict[str, np.ndarray]

SCHEMA = "edgekit.golden/1"

#: Member of the file that holds everything but arrays, as JSON.
_ABOUT = "about"

#: Refusals that an update answers by making the golden result anew.
REPLACEABLE = ("golden-of-another-model", "other-samples")


@dataclass(frozen=True, slots=True)
class Golden:
    """A golden result.

    Attributes:
        inputs, outputs: by name, samples first.
        noise: per output, how far the model moved when nothing but rounding changed, by method.
        reacts: per input, whether any output depended on it.
        origin: of the inputs.
        made_by: framework that computed the outputs, such as ``keras 3.15.1``.
    """

    inputs: Arrays
    outputs: Arrays
    noise: Mapping[str, Mapping[str, float]]
    reacts: Mapping[str, bool]
    origin: Origin
    made_by: str


def run_model(model: str | Path, data: str | Path | None, backend: str, folder: Path, known: Golden | None) -> Golden:
    """Run a model, or an artifact, on samples.

    Args:
        model: a model, an artifact, or a kit with one.
        data: samples; None for those of the golden result, or generated ones where there is none.
        backend: that runs a Keras model; ``auto`` for the best installed.
        folder: for scratch files.
        known: the golden result that there is.

    Raises:
        UsageError: a backend for what is no Keras model, or the golden result is that of another model.
        EdgekitError: a model or samples that cannot be used.
    """
    with workbench() as bench:
        source = load_source(bench, _entry(model), backend=backend)
        if backend != "auto" and source.description.kind != "keras":
            raise UsageError(
                "option-without-use",
                f"only Keras models have a backend, and this is a source of the kind {source.description.kind}.",
                received=f"backend={backend!r}",
                hint="Leave out backend.",
            )
        takes = {spec.name for spec in source.signature.inputs}
        if known is not None and takes != set(known.inputs):
            raise _of_another("inputs", known.inputs, takes)
        stored = data is None and known is not None
        if stored and known is not None:
            data = folder / "golden-inputs.npz"
            save_npz(data, known.inputs.items())
        samples = None if data is None else read_samples(data, bench, source.signature)
        found = reference_of(bench, source, samples)
        return Golden(
            inputs={name: np.load(bench.executor.path(blob)) for name, blob in found.inputs.items()},
            outputs={name: np.array(array) for name, array in found.arrays().items()},
            noise=found.noise,
            reacts=dict(found.reacts),
            origin=known.origin if stored and known is not None else found.origin,
            made_by=source.description.framework,
        )


def compare(known: Golden, now: Golden, tolerance: float | None) -> Parity:
    """Hold outputs against the golden ones, by the criteria of fp32: the same model gives the same numbers.

    Args:
        known: the golden result; its noise gives the bound.
        now: what the model gives now.
        tolerance: bound on the absolute difference, in place of the derived one.

    Raises:
        UsageError: other samples, or outputs of other names or shapes.
    """
    if any(not np.array_equal(known.inputs[name], array) for name, array in now.inputs.items()):
        raise UsageError(
            "other-samples",
            "these are not the samples that the golden result was made from.",
            received=_forms(now.inputs),
            hint="Leave the samples out to take the stored ones, or give --edgekit-update.",
        )
    if _shapes(known.outputs) != _shapes(now.outputs):
        raise _of_another("outputs", _shapes(known.outputs), _shapes(now.outputs))
    shapes = tuple(f"{name}={'x'.join(map(str, array.shape))}" for name, array in now.inputs.items())
    samples = min((len(array) for array in known.outputs.values()), default=0)
    return judge(
        known.outputs,
        now.outputs,
        precision="fp32",
        noise=known.noise,
        evidence=Evidence(known.origin, samples, shapes, reacts=dict(known.reacts)),
        tolerance=tolerance,
    )


def read_golden(path: Path) -> Golden | None:
    """The golden result in a file; None where there is none.

    Raises:
        UsageError: the file holds something else.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about: dict[str, Any] = json.loads(str(arrays.pop(_ABOUT)))
        if about.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        return Golden(_under("inputs/", arrays), _under("outputs/", arrays), **about)
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as err:
        raise UsageError(
            "bad-golden",
            f"this file is no golden result of {SCHEMA}, or it is damaged.",
            received=str(path),
            hint="Restore it from version control, or remove it and make it again with --edgekit-update.",
        ) from err


def write_golden(path: Path, golden: Golden) -> None:
    """Write a golden result; the old one or the new one is there at any moment.

    Raises:
        UsageError: it is too large, or the folder cannot be written.
    """
    size = sum(array.nbytes for array in (*golden.inputs.values(), *golden.outputs.values()))
    if size > GOLDEN_BYTES:
        raise UsageError(
            "golden-too-large",
            f"inputs and outputs take {size >> 20} MiB, and a golden result may take {GOLDEN_BYTES >> 20}.",
            received=f"{_forms(golden.inputs)}, {_forms(golden.outputs)}",
            hint="Give fewer samples.",
        )
    about = {
        "schema": SCHEMA,
        "noise": {name: dict(found) for name, found in golden.noise.items()},
        "reacts": dict(golden.reacts),
        "origin": golden.origin,
        "made_by": golden.made_by,
    }
    content = io.BytesIO()
    arrays = {f"inputs/{name}": array for name, array in golden.inputs.items()}
    arrays |= {f"outputs/{name}": array for name, array in golden.outputs.items()}
    np.savez_compressed(content, allow_pickle=False, **{_ABOUT: np.array(json.dumps(about))}, **arrays)
    content.seek(0)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)


def _entry(model: str | Path) -> str | Path:
    """The model, or the entry file of the one artifact that a kit or its folder holds."""
    path = Path(model)
    is_kit = path.is_dir() and any((folder / MANIFEST).is_file() for folder in (path, *path.resolve().parents[:2]))
    return select_one(path).path if is_kit else model


def _of_another(noun: str, known: Iterable[str], now: Iterable[str]) -> UsageError:
    return UsageError(
        "golden-of-another-model",
        f"the golden result is that of another model: its {noun} are {', '.join(sorted(known))}.",
        received=f"{noun} {', '.join(sorted(now))}",
        hint="Give each model a name of its own, or give --edgekit-update if the model has changed.",
    )


def _shapes(arrays: Arrays) -> set[str]:
    return {f"{name}={'x'.join(map(str, array.shape))}:{array.dtype}" for name, array in arrays.items()}


def _forms(arrays: Arrays) -> str:
    return ", ".join(sorted(_shapes(arrays)))


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
