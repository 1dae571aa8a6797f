"""The job that runs one quantization method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from edgekit.data.checks import check_fits, refuse_non_finite, span
from edgekit.errors import DataError, JobFailed, UsageError
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import (
    METHODS,
    LayerInfo,
    MacCount,
    MethodRow,
    Quantize,
    QuantizeRequest,
    needs_data,
)
from edgekit.runtimes.jobs import load_arrays
from edgekit.runtimes.widths import narrowed
from edgekit.types import Blob, Signature

#: Under which name the settings of an artifact hold its whole recipe.
RECIPE = "recipe.toml"


@dataclass(frozen=True)
class QuantizeJobResult:
    """A quantized artifact.

    Attributes:
        files: the entry file first: ``model.onnx``, ``model.xml`` and ``model.bin``, or ``model.tflite``.
        settings: of the artifact: the method and what it tells.
        quantized_ops, layers, macs, infos: see `edgekit.quantizer.registry.QuantizeOutcome`; the first is never zero.
    """

    files: tuple[Blob, ...]
    settings: dict[str, str]
    quantized_ops: int
    layers: tuple[str, ...] = ()
    macs: MacCount | None = None
    infos: tuple[LayerInfo, ...] = ()


@dataclass(frozen=True)
class QuantizeJob(Job[QuantizeJobResult]):
    """Run one method on one fp32 artifact.

    Attributes:
        method: name in the registry, such as ``openvino:int8``.
        files: the artifact, the entry file first.
        signature: of the artifact.
        calibration: one ``.npy`` per input name, samples first; empty for a method that needs no data.
        recipe: every setting; None takes the defaults of the precision.
    """

    method: str
    files: tuple[Blob, ...]
    signature: Signature
    calibration: dict[str, Blob]
    recipe: Recipe | None = None

    def run(self, work: Workspace) -> QuantizeJobResult:
        row = METHODS[self.method]
        recipe = self.recipe or Recipe(row.precision)
        check_recipe(row, recipe)
        observes = needs_data(row, recipe)
        given = load_arrays(work, self.calibration) if observes else {}
        calibration = narrowed(self.signature, given)
        if observes:
            check_calibration(self.signature, calibration)
        work.progress(Progress(f"quantize to {row.precision}"))
        quantize: Quantize = row.load()
        folder = work.folder / "out"
        folder.mkdir()
        model = work.path(self.files[0])
        request = QuantizeRequest(model, self.signature, folder, calibration, recipe, work.progress)
        outcome = quantize(request)
        if outcome.quantized_ops == 0:
            raise JobFailed(
                "nothing-quantized",
                f"the model has nothing that {self.method} can quantize.",
                received=", ".join(str(spec) for spec in self.signature.inputs),
                hint="Choose another --precision, or keep this artifact as it is.",
            )
        companions = sorted(path for path in folder.iterdir() if path != outcome.entry)
        paths = (outcome.entry, *companions)
        for path in paths:
            path.replace(work.folder / path.name)  # over the hard link to the input, which stays whole elsewhere
        settings = {"method": self.method, **outcome.settings, "recipe": recipe.name, RECIPE: recipe.to_toml()}
        files = tuple(work.blob(path.name) for path in paths)
        return QuantizeJobResult(files, settings, outcome.quantized_ops, outcome.layers, outcome.macs, outcome.infos)


def check_recipe(row: MethodRow, recipe: Recipe) -> None:
    """Refuse settings that a method would ignore.

    Raises:
        UsageError: another precision, see `check_io`, or a setting that is not the default and means nothing here.
    """
    if recipe.precision != row.precision:
        raise UsageError(
            "other-precision",
            f"{row.name} does not make {recipe.precision}.",
            received=recipe.name,
            hint=f"Give a recipe that begins with {row.precision}, or choose --precision {recipe.precision}.",
        )
    check_io(row, recipe.io)
    default = Recipe(row.precision)
    drawn = ("samples", "seed") if needs_data(row, recipe) else ()
    heeded = dict.fromkeys((*row.takes, *drawn))
    for setting in (one.name for one in fields(recipe)):
        value = getattr(recipe, setting)
        if value != getattr(default, setting) and setting not in ("precision", "io", *heeded):
            raise UsageError(
                "setting-not-taken",
                f"{row.name} has no setting {setting}.",
                received=f"{setting} = {value!r}",
                hint=f"Leave it out; {row.name} takes: {', '.join(heeded) or 'no settings'}.",
            )


def check_io(row: MethodRow, io: str) -> None:
    """Refuse inputs and outputs that a method cannot make.

    Raises:
        UsageError: an unknown ``io``, or one that this method does not offer.
    """
    if io == "float" or (io == "int8" and row.int8_io):
        return
    able = ", ".join(other.name for other in METHODS if other.int8_io)
    raise UsageError(
        "io-not-supported",
        f"{row.name} keeps the model's own inputs and outputs.",
        received=f"--io {io}",
        hint=f"Use --io float; int8 inputs and outputs are offered by {able}.",
    )


def check_calibration(signature: Signature, calibration: Mapping[str, np.ndarray]) -> None:
    """Refuse samples that would give a broken model: quantizers take them without complaint.

    Raises:
        DataError: none, another number per input, a name, shape or dtype that does not fit, values that are not
            finite, or inputs that never vary.
    """
    lengths = {name: len(array) for name, array in calibration.items()}
    if not lengths or min(lengths.values()) == 0 or len(set(lengths.values())) != 1:
        raise DataError(
            "no-calibration-samples",
            "quantization to int8 needs calibration samples, equally many for every input.",
            received=", ".join(f"{name}: {count}" for name, count in lengths.items()) or "none",
            hint="Give --data with some hundred real samples.",
        )
    check_fits(signature, calibration, None, "calibration")
    for name, array in calibration.items():
        refuse_non_finite(name, array)
    spans = {name: span(array) for name, array in calibration.items()}
    if all(low == high for low, high in spans.values()):
        raise DataError(
            "constant-data",
            "the calibration samples never vary, so no range can be measured.",
            received=", ".join(f"{name} is all {low:g}" for name, (low, _) in spans.items()),
            hint="Give --data with real samples.",
        )
