"""`edgekit.export`: a trained model to artifacts that run and agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields  # `replace` is an option of export
from pathlib import Path

from edgekit.data.read import read_samples
from edgekit.devices import Device, opened_devices
from edgekit.errors import MissingError, UsageError
from edgekit.exporter.attempts import Converter, Export, in_order, lacking, try_routes
from edgekit.exporter.best import fastest
from edgekit.exporter.compatibility import check_targets, limits, opset_for, parse_for
from edgekit.exporter.compatibility_needs import OldRuntime
from edgekit.exporter.graph import TARGETS, Route, routes
from edgekit.exporter.hops._onnx import OPSET
from edgekit.exporter.reference import LoadedSource, golden_of, load_source, reference_of, stored_reference, with_known
from edgekit.exporter.source import SourceOptions, open_source
from edgekit.figures import ArtifactResult
from edgekit.files import check_writable, copy_file, writing
from edgekit.kit import Kit, default_folder
from edgekit.parity.coverage import ranges
from edgekit.parity.evaluate import Reference
from edgekit.progress import SILENT, Reporter
from edgekit.registry import install_command
from edgekit.results import ExportResult, holds
from edgekit.samples import golden_subset, refuse_labels_without
from edgekit.selection import SUFFIXES
from edgekit.types import Attempt, Evidence, Signature, worst
from edgekit.workbench import SEED, Workbench, workbench

#: Outcomes that say the converter produced something wrong, as against nothing.
_WRONG = ("rejected", "unrunnable")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to export.

    Attributes:
        targets: artifact formats.
        backend: only routes that start on this Keras backend; ``auto`` for all.
        route: only this route.
        opset: ONNX operator set; None for a conservative default.
        best: try every route and keep the artifact that is fastest on the device.
        old: runtimes that the artifacts have to load in.
    """

    targets: tuple[str, ...]
    backend: str = "auto"
    route: str | None = None
    opset: int | None = None
    best: bool = False
    old: tuple[OldRuntime, ...] = ()

    def planned(self, kind: str, signature: Signature | None = None) -> dict[str, tuple[Route, ...]]:
        """Routes by target, in the order they are tried.

        Args:
            kind: of the source.
            signature: of the source, once it is known.

        Raises:
            UsageError: an unknown target or backend, or nothing leads there.
            MissingError: the packages of every route to a target that was named are missing.
        """
        targets = TARGETS if "all" in self.targets else tuple(dict.fromkeys(self.targets))
        if self.opset is not None and "onnx" not in targets:
            raise UsageError(
                "opset-without-onnx",
                "--opset is for the target onnx.",
                received=str(self.opset),
                hint="Add --target onnx.",
            )
        check_targets(self.old, targets)
        if "onnx" in targets:
            opset_for(limits("onnx", self.old), self.opset, OPSET)
        planned = {
            target: in_order(target, routes(kind, target, backend=self.backend, route=self.route), signature)
            for target in targets
        }
        self._require(planned)
        return planned

    def _require(self, planned: dict[str, tuple[Route, ...]]) -> None:
        """Refuse a target that was named, or all of them, when no route can be tried here."""
        hopeless = [name for name, ways in planned.items() if all(lacking(name, way) for way in ways)]
        if not hopeless or ("all" in self.targets and len(hopeless) < len(planned)):
            return
        target = hopeless[0]
        # The least to install, and TensorFlow, the largest by far, only where nothing else leads there.
        extras = min(
            (lacking(target, way) for way in planned[target]), key=lambda found: ("tensorflow" in found, len(found))
        )
        raise MissingError(
            "missing-extra",
            f"no route to {target} can be tried: the packages of each are missing.",
            received=", ".join(way.name for way in planned[target]),
            hint=f"Run: {install_command(','.join(extras))}",
        )


def export(
    model: str | Path,
    target: str | Sequence[str] = "all",
    *,
    output: str | Path | None = None,
    data: str | Path | None = None,
    labels: str | None = None,
    inputs: Sequence[str] = (),
    backend: str = "auto",
    route: str | None = None,
    opset: int | None = None,
    runtimes: Sequence[str] = (),
    best: bool = False,
    device: str = "local",
    custom_objects: Sequence[str] = (),
    submodel: str | None = None,
    trust_code: bool = False,
    replace: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> ExportResult:
    """Export a trained model; every artifact has run on its real runtime and agrees with the source.

    Args:
        model: a ``.keras``, ``.pt2``, ``.jax``, ``.onnx``, ``.xml`` or ``.tflite`` file, a SavedModel folder, or code
            that returns a model: ``file.py:factory`` or ``package.module:factory``.
        target: ``onnx``, ``openvino``, ``tflite``, several of them, or ``all``.
        output: folder of the kit, or a file for a plain copy of the only artifact beside the kit. Default:
            ``edgekit-out/<stem>``.
        data: real samples to compare on (``.npz`` or ``.npy``); without them inputs are generated.
        labels: name of an array in the data that holds labels, not inputs.
        inputs: ``NAME=?x224x224x3[:float32]`` for sizes to pin; ``?`` stays free.
        backend: Keras backend to convert from.
        route: one route by its name instead of the cheapest that works.
        opset: ONNX operator set.
        runtimes: oldest ones that have to load the artifacts, such as ``onnxruntime==1.19`` (``--for``).
        best: try every route, time what was accepted and keep the fastest.
        device: where to time for ``best``, such as ``local?threads=1``.
        custom_objects: Python files that define classes or functions which a ``.keras`` file refers to.
        submodel: name of the model inside the model to export, such as the generator of a GAN.
        trust_code: run code that the model file holds, such as a Lambda layer's.
        replace: throw away a kit of another source in the same folder.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Returns:
        One row per target with every attempt. A row without a path means that no route was accepted.

    Raises:
        UsageError: bad options, or an output that cannot be written.
        ModelError, DataError: a model or samples that cannot be used.
        MissingError: Keras is not installed, or the packages of every route are missing.

    Example:
        >>> result = edgekit.export("model.keras", "openvino")
        >>> result.artifacts[0].verdict
        'verified'
    """
    asked = (target,) if isinstance(target, str) else tuple(target)
    options = ExportOptions(asked, backend, route, opset, best, parse_for(runtimes))
    refuse_labels_without(data, labels)
    folder, copy = _destination(output, options)
    described = SourceOptions(tuple(custom_objects), submodel, trust_code)
    file = open_source(model, described)
    if file.kind != "code":  # what a factory returns is known once it has run
        options.planned(file.kind)
    with opened_devices(device) as (where,), workbench(reporter) as bench:
        if best:
            where.context()  # one that cannot be reached is known before the work begins
        source = load_source(bench, model, inputs, backend, described)
        kit = Kit.prepare(folder or default_folder(file.stem), source.summary(), replace_source=replace)
        reference = _reference(kit, source, data, labels, bench)
        result = export_into(kit, source, reference, options, bench, where, strict=strict)
        if any(row.path for row in result.artifacts):  # else the kit that may be there stays as it is
            kit.commit(result=result)
        return result if copy is None else _copied(result, kit, copy)


def _reference(
    kit: Kit, source: LoadedSource, data: str | Path | None, labels: str | None, bench: Workbench
) -> Reference:
    """What routes are accepted on: the data given, else real samples that the kit has kept, else generated ones."""
    if data is not None:
        everything = read_samples(data, bench, source.signature, labels)
        golden = golden_subset(everything, bench.scratch("golden"), SEED)
        return with_known(reference_of(bench, source, golden), golden.load(), ranges(everything.load()))
    kept = kit.manifest.golden
    if kept is not None and kept.inputs == "real" and kit.manifest.source.signature == source.signature:
        return stored_reference(kit, bench)
    return reference_of(bench, source, None)


def export_into(
    kit: Kit,
    source: LoadedSource,
    golden: Reference,
    options: ExportOptions,
    bench: Workbench,
    device: Device,
    *,
    strict: bool,
) -> ExportResult:
    """Export every target side by side, and commit what was accepted.

    Args:
        kit: receives golden samples and artifacts.
        source: the model.
        golden: golden samples of the source.
        options: how to export.
        bench: of this command.
        device: where routes are timed, with ``best``.
        strict: count ``weak`` as a failure.
    """
    converter = Converter(bench.executor, source, options.opset, options.old)

    def one(plan: tuple[str, tuple[Route, ...]]) -> tuple[Export | None, tuple[Attempt, ...]]:
        target, routes_to_it = plan
        with bench.reporter.task(f"export {target}") as update:
            found, attempts = try_routes(target, routes_to_it, golden, converter, update, every=options.best)
            if len(found) < 2:
                return (found[0] if found else None), attempts
            return fastest(found, attempts, golden, bench.executor, device, update)

    planned = options.planned(source.description.kind, source.signature)
    outcomes = bench.side_by_side(one, list(planned.items()))
    accepted = [export for export, _ in outcomes if export is not None]
    if accepted:
        kit.commit(
            source=source.summary(),
            golden=golden_of(golden, bench),
            artifacts=[(export.artifact, export.files) for export in accepted],
        )
    rows = tuple(_row(kit, target, *outcome) for target, outcome in zip(planned, outcomes, strict=True))
    verdict = worst(row.verdict for row in rows)
    return ExportResult(
        ok=holds(verdict, strict=strict),
        verdict=verdict,
        evidence=_evidence(golden, rows),
        kit=str(kit.folder),
        source=source.summary(),
        artifacts=rows,
        warnings=source.description.notes,
    )


def _row(kit: Kit, target: str, export: Export | None, attempts: tuple[Attempt, ...]) -> ArtifactResult:
    if export is None:
        wrong = any(attempt.outcome in _WRONG for attempt in attempts)
        reasons = tuple(f"{attempt.route}: {attempt.outcome}: {attempt.reason}" for attempt in attempts)
        return ArtifactResult(
            target, "fp32", None, None, None, None, "failed" if wrong else "error", reasons, None, None, attempts
        )
    artifact = next(stored for stored in kit.artifacts if stored.sha256 == export.artifact.sha256)
    parity = export.evaluation.parity
    return ArtifactResult(
        target=target,
        precision=artifact.precision,
        path=str(kit.folder / artifact.path),
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        route=artifact.route,
        verdict=parity.verdict,
        reasons=(*parity.reasons, *(f"{lost}." for lost in artifact.fixed)),
        parity=parity,
        accuracy=None,
        attempts=attempts,
        loads_in=artifact.settings.get("loads in"),
    )


def _evidence(golden: Reference, rows: tuple[ArtifactResult, ...]) -> Evidence:
    shapes = [shape for row in rows if row.parity is not None for shape in row.parity.evidence.shapes]
    return Evidence(golden.origin, golden.samples, tuple(dict.fromkeys(shapes)))


def _destination(output: str | Path | None, options: ExportOptions) -> tuple[Path | None, Path | None]:
    """Folder of the kit, and file for a plain copy, from ``-o``."""
    if output is None:
        return None, None
    path = Path(output)
    if path.suffix not in SUFFIXES:
        return path, None
    target = SUFFIXES[path.suffix]
    if options.targets != (target,):
        raise UsageError(
            "wrong-output",
            f"a {path.suffix} file can hold only the target {target}.",
            received=f"--target {' --target '.join(options.targets)}",
            hint=f"Give --target {target}, or a folder with -o.",
        )
    check_writable(path.parent)
    return None, path


def _copied(result: ExportResult, kit: Kit, target: Path) -> ExportResult:
    """The result that names a plain copy, which is written beside the kit.

    An IR finds its weights by its own name, an ONNX file by the name it holds.
    """
    artifact = next((made for made in kit.artifacts if made.sha256 == result.artifacts[0].sha256), None)
    if artifact is None:  # no route was accepted
        return result
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for file in kit.files(artifact):
            name = file.name if file.suffix == ".data" else target.with_suffix(file.suffix).name
            copy_file(file, target.with_name(name))
    return with_fields(result, warnings=(*result.warnings, f"A plain copy is {target}."))
