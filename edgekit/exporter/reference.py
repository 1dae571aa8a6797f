"""The source as the reference: loaded, described and run in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path

from edgekit.errors import ModelError
from edgekit.exporter.describe import DescribeJob, Description
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.observe import ObserveJob
from edgekit.exporter.source import BACKENDS, Source, check_dtypes, open_source, parse_inputs, reference_backend
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit
from edgekit.parity.evaluate import Reference, check_labels
from edgekit.results import SourceSummary
from edgekit.samples import Samples, save_arrays
from edgekit.types import Blob, Signature, TensorSpec
from edgekit.workbench import SEED, Workbench

#: Samples that are generated where the user gives none.
GENERATED_SAMPLES = 32


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """A source that was loaded once, in the process that computes the reference.

    Attributes:
        file: what the user gave.
        model: the same as a blob.
        context: where the reference runs.
        pins: shapes given with ``--input``.
        description: signature and figures.
    """

    file: Source
    model: Blob
    context: Context
    pins: dict[str, TensorSpec]
    description: Description

    @property
    def signature(self) -> Signature:
        return self.description.signature

    def summary(self) -> SourceSummary:
        found = self.description
        return SourceSummary(
            path=str(self.file.path),
            sha256=self.file.sha256,
            kind=self.file.kind,
            backend=found.backend,
            framework=found.framework,
            signature=found.signature,
            parameters=found.parameters,
        )


def load_source(bench: Workbench, model: str | Path, inputs: Sequence[str] = (), backend: str = "auto") -> LoadedSource:
    """Load a source in an isolated process and describe it.

    Args:
        bench: of this command.
        model: a model file.
        inputs: ``--input`` options.
        backend: of the reference, ``auto`` for the best installed.

    Raises:
        UsageError, ModelError, MissingError: see `open_source`, `reference_backend` and `parse_inputs`.
    """
    pins = parse_inputs(inputs)
    file = open_source(model)
    context = conversion_context(reference_backend(backend))
    blob = bench.executor.add(file.path, "source.keras")
    file = replace(file, sha256=blob.sha256)  # of the content that is used, even if the file changes meanwhile
    with bench.reporter.task(f"load {file.path.name}") as update:
        job = DescribeJob(blob, {name: spec.shape for name, spec in pins.items()})
        description = bench.executor.run(job, context, update)
    check_dtypes(description.signature, pins)
    return LoadedSource(file, blob, context, pins, description)


def reference_of(bench: Workbench, source: LoadedSource, samples: Samples | None) -> Reference:
    """Run the source: its outputs, its noise floor, and which inputs it reacts to.

    Args:
        bench: of this command.
        source: the model.
        samples: real samples, or None to generate some from the signature.

    Raises:
        UsageError, DataError: labels that cannot be judged, see `check_labels`.
    """
    inputs = {} if samples is None else bench.blobs(samples.arrays)
    shapes = {name: spec.shape for name, spec in source.pins.items()}
    with bench.reporter.task(f"reference from {source.context.name}") as update:
        job = ObserveJob(source.model, inputs, shapes, GENERATED_SAMPLES, SEED)
        found = bench.executor.run(job, source.context, update)
    reference = Reference(
        signature=source.signature,
        inputs=found.inputs,
        outputs={name: bench.executor.path(blob) for name, blob in found.outputs.items()},
        noise_floor=found.noise_floor,
        reacts=found.reacts,
        origin="generated" if samples is None else "real",
        labels=None if samples is None else samples.load_labels(),
    )
    check_labels(reference)
    return reference


def reload_source(kit: Kit, bench: Workbench) -> LoadedSource:
    """Load the source of a kit again, with the sizes it was exported for.

    Raises:
        ModelError: the file is gone, or is not the one that was exported.
        MissingError: Keras is not installed.
    """
    known = kit.manifest.source
    path = Path(known.path)
    if not path.is_file() or blob_of(path).sha256 != known.sha256:
        raise ModelError(
            "source-changed",
            f"the kit was made from {known.path}, which is gone or has changed.",
            received=str(kit.folder),
            hint=f"Export it again: edgekit export {known.path} --target all",
        )
    module = BACKENDS.get(known.backend)
    backend = known.backend if module is not None and util.find_spec(module) is not None else "auto"
    return load_source(bench, path, [str(spec) for spec in known.signature.inputs], backend)


def stored_reference(kit: Kit, bench: Workbench) -> Reference:
    """The golden samples of a kit; the source itself is not needed.

    Raises:
        UsageError: the kit has none.
    """
    golden = kit.manifest.golden
    inputs, outputs = kit.golden()
    assert golden is not None
    folder = bench.scratch("golden")
    return Reference(
        signature=kit.manifest.source.signature,
        inputs=bench.blobs(save_arrays(folder, "in", inputs)),
        outputs=save_arrays(folder, "out", outputs),
        noise_floor=golden.noise_floor,
        reacts=golden.reacts,
        origin=golden.inputs,
    )


def reference_for(kit: Kit, samples: Samples | None, bench: Workbench) -> Reference:
    """What an artifact of a kit is compared with: its source on the samples given, else the golden samples."""
    if samples is None:
        return stored_reference(kit, bench)
    return reference_of(bench, reload_source(kit, bench), samples)
