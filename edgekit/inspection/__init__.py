"""What a model file is, and how to run it with its engine alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgekit.errors import JobCrashed, JobFailed, MissingError, ModelError, UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.source import reference_backend
from edgekit.inspection.facts import Quantization
from edgekit.inspection.job import Inspected, InspectJob
from edgekit.inspection.snippets import snippet
from edgekit.jobs.executor import Executor
from edgekit.registry import install_command
from edgekit.results import Result
from edgekit.runtimes import runtime_for
from edgekit.types import Signature

#: Kinds of model files by suffix.
KINDS = {".onnx": "onnx", ".xml": "openvino", ".tflite": "tflite", ".keras": "keras"}

__all__ = ["KINDS", "Inspection", "Quantization", "inspect"]


@dataclass(frozen=True, slots=True)
class Inspection(Result):
    """What `edgekit.inspect` returns.

    Attributes:
        path: as it was given.
        kind: ``onnx``, ``openvino``, ``tflite`` or ``keras``.
        files: names of all files of the model, the entry file first.
        size_bytes: of all files.
        signature: inputs and outputs; quantized ones appear as the float32 that they stand for.
        quantization: stored dtype, scale and zero point of those that are quantized, by name.
        parameters: count of stored numbers, scales of quantization included; None where it cannot be read.
        operators: how often each kind of operator, or of layer, occurs.
        precision: what the weights and operators say, such as ``fp32`` or ``int8``; None where that is not known.
        format: versions of the file format, such as ``{"IR": "10", "opset": "18"}``.
        engine: the library that opened the file here, and its version.
        needs: the command that installs what running it needs.
        snippet: Python code that runs the file with its engine alone, without edgekit.
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
    precision: str | None
    format: dict[str, str]
    engine: str
    needs: str
    snippet: str
    notes: tuple[str, ...]


def inspect(file: str | Path) -> Inspection:
    """Open a model file in a process of its own and describe it. Nothing in the file is trusted or run here.

    Args:
        file: ``.onnx``, ``.xml`` (with its ``.bin`` beside it), ``.tflite`` or ``.keras``.

    Raises:
        UsageError: no file, or a kind that edgekit does not know.
        ModelError: the engine refuses the file.
        MissingError: the engine is not installed.
    """
    path = Path(file)
    kind = _kind(path)
    runtime = runtime_for(kind)
    missing = runtime.missing()
    if missing:
        raise MissingError(
            "missing-extra",
            f"inspecting {path.name} needs {', '.join(missing)}.",
            hint=f"Run: {install_command(runtime.extra)}",
        )
    files = (path, *_companions(path, kind))
    found = _read(kind, files)
    graph = found.graph
    extra = ",".join(filter(None, (runtime.extra, graph.backend)))
    return Inspection(
        ok=True,
        path=str(file),
        kind=kind,
        files=tuple(part.name for part in files),
        size_bytes=sum(part.stat().st_size for part in files),
        signature=found.signature,
        quantization=graph.quantization,
        parameters=graph.parameters,
        operators=graph.operators,
        precision=graph.precision,
        format=graph.format,
        engine=f"{runtime.name} {found.engine}",
        needs=install_command(extra),
        snippet=snippet(kind, str(file), found.signature, graph),
        notes=graph.notes,
    )


def _kind(path: Path) -> str:
    known = f"Give one of: {', '.join(KINDS)}."
    if not path.exists():
        raise UsageError("no-such-file", "there is no such model file.", received=str(path), hint=known)
    if path.is_dir():
        raise UsageError("is-a-folder", "this is a folder, not a model file.", received=str(path), hint=known)
    if path.suffix not in KINDS:
        raise UsageError(
            "unknown-model-kind", "edgekit does not know this kind of file.", received=path.name, hint=known
        )
    if path.stat().st_size == 0:
        raise ModelError(
            "unloadable-artifact", "the file is empty.", received=str(path), hint="Export or copy it again."
        )
    return KINDS[path.suffix]


def _companions(path: Path, kind: str) -> tuple[Path, ...]:
    """Files that hold the weights: OpenVINO's ``.bin``, and ONNX external data named after the model."""
    if kind == "openvino":
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelError(
                "missing-weights",
                f"{path.name} has its weights in {weights.name}.",
                received=str(path),
                hint=f"Put {weights.name} beside it.",
            )
        return (weights,)
    if kind == "onnx":
        names = (f"{path.name}.data", f"{path.name}_data", f"{path.stem}.data", f"{path.stem}.bin")
        return tuple(found for name in names if (found := path.parent / name).is_file())
    return ()


def _read(kind: str, files: tuple[Path, ...]) -> Inspected:
    with Executor() as executor:
        job = InspectJob(kind, tuple(executor.add(part) for part in files))
        try:
            return executor.run_fresh(job, conversion_context(reference_backend("auto") if kind == "keras" else None))
        except (JobFailed, JobCrashed) as err:
            raise ModelError(
                "unloadable-artifact",
                f"{files[0].name} cannot be read: {err.message}",
                received=f"{files[0]}, {files[0].stat().st_size} bytes",
                hint="The file may be truncated, or made for a newer engine: export or copy it again.",
            ) from err
