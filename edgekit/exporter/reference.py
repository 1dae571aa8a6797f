"""The source as the reference: loaded, described and run in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path

import numpy as np

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.describe import DescribeJob, Description
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.hops._saved_model import ARCHIVE, pack
from edgekit.exporter.loading import SourceSpec
from edgekit.exporter.observe import ObserveJob
from edgekit.exporter.source import (
    BACKENDS,
    Source,
    SourceOptions,
    check_dtypes,
    loading_backend,
    open_source,
    parse_inputs,
    source_files,
)
from edgekit.figures import SourceSummary
from edgekit.golden import Golden, GoldenSize, golden_file
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit
from edgekit.parity.coverage import Range, beyond, covered, ranges
from edgekit.parity.evaluate import OtherSize, Reference, with_labels
from edgekit.parity.task import ACCURACY, Metric
from edgekit.samples import Samples, golden_rows, save_arrays
from edgekit.types import Blob, Signature
from edgekit.workbench import SEED, Workbench

#: Samples that are generated where the user gives none.
GENERATED_SAMPLES = 32


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """A source that was loaded once, in the process that computes the reference.

    Attributes:
        file: what the user gave.
        spec: the same for a message.
        context: where the reference runs.
        backend: of that process; ``none`` for an engine.
        description: signature and figures.
    """

    file: Source
    spec: SourceSpec
    context: Context
    backend: str
    description: Description

    @property
    def signature(self) -> Signature:
        return self.description.signature

    @property
    def env(self) -> Mapping[str, str]:
        """Where every process that loads it finds the user's code."""
        return self.file.env

    def summary(self) -> SourceSummary:
        found = self.description
        return SourceSummary(
            path=self.file.name,
            sha256=self.file.sha256,
            kind=found.kind,
            backend=self.backend,
            framework=found.framework,
            signature=found.signature,
            parameters=found.parameters,
            custom_objects=self.file.options.custom_objects,
            submodel=self.file.options.submodel,
            trust_code=self.file.options.trust_code,
        )


def load_source(
    bench: Workbench,
    model: str | Path,
    inputs: Sequence[str] = (),
    backend: str = "auto",
    options: SourceOptions | None = None,
    *,
    count: bool = False,
) -> LoadedSource:
    """Load a source in an isolated process and describe it.

    Args:
        bench: of this command.
        model: a model file, or code as ``file.py:factory``.
        inputs: ``--input`` options.
        backend: of the reference of a Keras model, ``auto`` for the best installed.
        options: custom objects and the like.
        count: also count floating point operations.

    Raises:
        UsageError, ModelError, MissingError: see `open_source`, `loading_backend` and `parse_inputs`.
    """
    pins = parse_inputs(inputs)
    file = open_source(model, options)
    files = tuple(bench.executor.add(path, _blob_name(file, path)) for path in _packed(file, bench))
    if file.path.suffix in (".keras", ".onnx") and len(files) == 1 and not file.env and not file.options.submodel:
        file = replace(file, sha256=files[0].sha256)  # of the content that is used, even if the file changes meanwhile
    spec = SourceSpec(file.kind, files, replace(file.loading, pins=pins))
    known = loading_backend(file.likely_kind, backend)
    with bench.reporter.task(f"load {file.path.name}") as update:
        found = bench.executor.run(DescribeJob(spec, count), conversion_context(known, file.env), update)
    if found.kind != file.likely_kind:  # the factory's file imports its framework by another name
        known = loading_backend(found.kind, backend)
    if found.state is not None:
        spec = replace(spec, files=(found.state,))
    check_dtypes(found.signature, pins)
    spec = replace(spec, kind=found.kind)
    return LoadedSource(file, spec, conversion_context(known, file.env), known or "none", found)


def _packed(file: Source, bench: Workbench) -> tuple[Path, ...]:
    if not file.path.is_dir():
        return source_files(file)
    archive = bench.scratch("source") / ARCHIVE
    pack(file.path, archive)
    return (archive,)


def _blob_name(file: Source, path: Path) -> str:
    """The name that a job sees: the user's own only where another file refers to it."""
    return path.name if len(source_files(file)) > 1 or path.is_dir() else f"source{path.suffix}"


def reference_of(
    bench: Workbench, source: LoadedSource, samples: Samples | None, metric: Metric = ACCURACY
) -> Reference:
    """Run the source: its outputs, its noise floor, and which inputs it reacts to.

    Args:
        bench: of this command.
        source: the model.
        samples: real samples, or None to generate some from the signature.
        metric: what the labels of the samples are for.

    Raises:
        UsageError, DataError: labels that cannot be judged, see `with_labels`.
    """
    inputs = {} if samples is None else bench.blobs(samples.arrays)
    with bench.reporter.task(f"reference from {source.context.name}") as update:
        job = ObserveJob(source.spec, inputs, GENERATED_SAMPLES, SEED)
        found = bench.executor.run(job, source.context, update)
    reference = Reference(
        signature=source.signature,
        inputs=found.inputs,
        outputs={name: bench.executor.path(blob) for name, blob in found.outputs.items()},
        noise=found.noise,
        reacts=found.reacts,
        origin="generated" if samples is None else "real",
        sizes=tuple(
            OtherSize(
                inputs=size.inputs,
                outputs={name: bench.executor.path(blob) for name, blob in size.outputs.items()},
                noise=size.noise,
                reacts=size.reacts,
                edge=size.edge,
            )
            for size in found.sizes
        ),
    )
    return with_labels(reference, None if samples is None else samples.load_labels(), metric, bench.executor)


def reload_source(kit: Kit, bench: Workbench) -> LoadedSource:
    """Load the source of a kit again, with the sizes it was exported for.

    Raises:
        ModelError: the file is gone, or is not the one that was exported.
        MissingError: Keras is not installed.
    """
    known = kit.manifest.source
    options = SourceOptions(known.custom_objects, known.submodel, known.trust_code)
    gone = ModelError(
        "source-changed",
        f"the kit was made from {known.path}, which is gone or has changed.",
        received=str(kit.folder),
        hint=f"Export it again: edgekit export {known.path} --target all",
    )
    try:
        file = open_source(known.path, options)
    except (ModelError, UsageError) as err:
        raise gone from err
    if file.sha256 != known.sha256:
        raise gone
    module = BACKENDS.get(known.backend)
    installed = known.kind == "keras" and module is not None and util.find_spec(module) is not None
    pins = [str(spec) for spec in known.signature.inputs]
    return load_source(bench, known.path, pins, known.backend if installed else "auto", options)


def golden_of(reference: Reference, bench: Workbench) -> tuple[Golden, Path]:
    """What a kit keeps of a reference: its description, and the file to store."""
    sizes = [(_arrays(size.inputs, bench), size.arrays()) for size in reference.sizes]
    path = golden_file(bench.scratch("golden-file"), _arrays(reference.inputs, bench), reference.arrays(), sizes)
    golden = Golden(
        file=blob_of(path),
        inputs=reference.origin,
        samples=reference.samples,
        noise={name: dict(found) for name, found in reference.noise.items()},
        reacts=dict(reference.reacts),
        sizes=tuple(
            GoldenSize({name: dict(found) for name, found in size.noise.items()}, dict(size.reacts), size.edge)
            for size in reference.sizes
        ),
        ranges=dict(reference.known),
    )
    return golden, path


def golden_part(reference: Reference, bench: Workbench) -> Reference:
    """Some samples of a reference, as many as a kit keeps, without labels."""
    inputs, outputs = _arrays(reference.inputs, bench), reference.arrays()
    chosen, folder = golden_rows(inputs, SEED), bench.scratch("golden")
    kept = {name: array[chosen] for name, array in inputs.items()}
    part = replace(
        reference,
        inputs=bench.blobs(save_arrays(folder, "in", kept)),
        outputs=save_arrays(folder, "out", {name: array[chosen] for name, array in outputs.items()}),
        labels=None,
        task=None,
    )
    return with_known(part, kept, reference.known)


def _arrays(blobs: Mapping[str, Blob], bench: Workbench) -> dict[str, np.ndarray]:
    return {name: np.load(bench.executor.path(blob), mmap_mode="r") for name, blob in blobs.items()}


def stored_reference(kit: Kit, bench: Workbench) -> Reference:
    """The golden samples of a kit; the source itself is not needed.

    Raises:
        UsageError: the kit has none.
    """
    golden = kit.manifest.golden
    (inputs, outputs), *others = kit.golden()
    assert golden is not None
    folder = bench.scratch("golden")
    found = Reference(
        signature=kit.manifest.source.signature,
        inputs=bench.blobs(save_arrays(folder, "in", inputs)),
        outputs=save_arrays(folder, "out", outputs),
        noise=golden.noise,
        reacts=golden.reacts,
        origin=golden.inputs,
        sizes=tuple(
            OtherSize(
                inputs=bench.blobs(save_arrays(folder, f"in-{index}", arrays[0])),
                outputs=save_arrays(folder, f"out-{index}", arrays[1]),
                noise=size.noise,
                reacts=size.reacts,
                edge=size.edge,
            )
            for index, (size, arrays) in enumerate(zip(golden.sizes, others, strict=True))
        ),
    )
    return with_known(found, inputs, kit.ranges)


def with_known(reference: Reference, inputs: Mapping[str, np.ndarray], known: Mapping[str, Range]) -> Reference:
    """The reference with the ranges of all real samples that were met, and the share of them that its inputs span."""
    met = ranges(inputs)
    return replace(reference, known=known, range_covered=covered(met, known), beyond=beyond(met, known))
