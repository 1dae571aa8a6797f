"""What a model is, and how to run it with its engine alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgekit.errors import JobCrashed, JobFailed, ModelError
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.reference import LoadedSource, load_source
from edgekit.exporter.source import Source, SourceOptions, open_source, source_files
from edgekit.exporter.sources.registry import SOURCES, require_source
from edgekit.inspection.facts import Graph, Quantization, precision_of
from edgekit.inspection.job import READERS, InspectJob
from edgekit.inspection.snippets import snippet
from edgekit.jobs.executor import Executor
from edgekit.progress import SILENT, Reporter
from edgekit.registry import install_command
from edgekit.results import Result
from edgekit.runtimes import runtime_for
from edgekit.types import Signature
from edgekit.workbench import workbench

__all__ = ["Inspection", "Quantization", "inspect"]


@dataclass(frozen=True, slots=True)
class Inspection(Result):
    """What `edgekit.inspect` returns.

    Attributes:
        path: as it was given.
        kind: node of the conversion graph without a backend: ``keras``, ``torch.nn``, ``onnx``, …
        files: names of all files of the model, the entry file first.
        size_bytes: of all files.
        signature: inputs and outputs; quantized ones appear as the float32 that they stand for.
        quantization: stored dtype, scale and zero point of those that are quantized, by name.
        parameters: count of stored numbers, scales of quantization included; None where it cannot be read.
        operators: how often each kind of operator, or of layer, occurs.
        flops: floating point operations of one sample, two per multiplication and addition of convolutions and
            products; None where a free size decides, or nothing tells.
        precision: what the weights and operators say, such as ``fp32`` or ``int8``; None where that is not known.
        format: versions of the file format, such as ``{"IR": "10", "opset": "18"}``.
        engine: the library that opened the file here, and its version.
        needs: the command that installs what running it needs.
        snippet: Python code that runs the model with its framework or engine alone, without edgekit.
        notes: what could not be read, and why.
    """

    schema: ClassVar[str] = "edgekit.inspect/1"
    ok: bool
    path: str
    kind: str
    files: tuple[str, ...]
    size_bytes: int
    signature: Signature
    quantization: dict[str, Quantization]
    parameters: int | None
    operators: dict[str, int]
    flops: int | None
    precision: str | None
    format: dict[str, str]
    engine: str
    needs: str
    snippet: str
    notes: tuple[str, ...]


def inspect(
    file: str | Path,
    *,
    inputs: Sequence[str] = (),
    custom_objects: Sequence[str] = (),
    submodel: str | None = None,
    trust_code: bool = False,
    reporter: Reporter = SILENT,
) -> Inspection:
    """Open a model in a process of its own and describe it. Code runs only where the user names or trusts it.

    Args:
        file: a model file, a SavedModel folder, or code as ``file.py:factory``, as for `edgekit.export`.
        inputs: ``NAME=?x224x224x3`` for a source that does not tell its sizes, or to count operations at one.
        custom_objects, submodel, trust_code: how to load it, see `edgekit.export`.
        reporter: receives progress.

    Raises:
        UsageError: options that mean nothing for this source.
        ModelError: no such file, or one that its engine or framework refuses.
        MissingError: the engine or framework is not installed.
    """
    source = open_source(file, SourceOptions(tuple(custom_objects), submodel, trust_code))
    if source.kind in READERS:
        return _artifact(source)
    with workbench(reporter) as bench:
        loaded = load_source(bench, file, inputs, options=source.options, count=True)
    return _source(loaded)


def _artifact(source: Source) -> Inspection:
    """A file of a deployment format, read by its engine."""
    require_source(source.kind)
    runtime = runtime_for(source.kind)
    files = source_files(source)
    with Executor() as executor:
        job = InspectJob(source.kind, tuple(executor.add(part) for part in files))
        try:
            found = executor.run_fresh(job, conversion_context(None))
        except (JobFailed, JobCrashed) as err:
            raise ModelError(
                "unloadable-artifact",
                f"{files[0].name} cannot be read: {err.message}",
                received=f"{files[0]}, {files[0].stat().st_size} bytes",
                hint="The file may be truncated, or made for a newer engine: export or copy it again.",
            ) from err
    return _inspection(
        source, source.kind, found.signature, found.graph, f"{runtime.name} {found.engine}", runtime.extra
    )


def _source(loaded: LoadedSource) -> Inspection:
    """A trained model, loaded by its framework."""
    found = loaded.description
    graph = Graph(
        parameters=found.parameters,
        operators=found.operators,
        precision=precision_of(set(found.weight_dtypes), quantized_activations=False),
        format={"written by": found.framework},
        flops=found.flops,
        notes=found.notes,
    )
    extra = SOURCES[found.kind].extra
    if found.kind == "keras":
        extra = f"{extra},{loaded.backend}"
    return _inspection(loaded.file, found.kind, found.signature, graph, f"{found.framework} ({loaded.backend})", extra)


def _inspection(source: Source, kind: str, signature: Signature, graph: Graph, engine: str, extra: str) -> Inspection:
    files = source_files(source)
    return Inspection(
        ok=True,
        path=source.name,
        kind=kind,
        files=tuple(part.name for part in files),
        size_bytes=sum(_size(part) for part in files),
        signature=signature,
        quantization=graph.quantization,
        parameters=graph.parameters,
        operators=graph.operators,
        flops=graph.flops,
        precision=graph.precision,
        format=graph.format,
        engine=engine,
        needs=install_command(extra),
        snippet=snippet(kind, source, signature, graph),
        notes=graph.notes,
    )


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
