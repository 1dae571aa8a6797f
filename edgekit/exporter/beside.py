"""Sources that are timed beside artifacts: which, in what ways, on what inputs, and what deployment gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.data.read import read_samples
from edgekit.devices import Device
from edgekit.errors import UsageError
from edgekit.exporter.reference import LoadedSource, load_source, reference_of, reload_source
from edgekit.exporter.sources.registry import kinds_of_suffix
from edgekit.exporter.timing import SourceCandidate, source_candidates
from edgekit.exporter.ways import FRAMEWORKS, SourceRuntime, Way, parse_runtime, ways_to_run
from edgekit.figures import BenchRow, Gain
from edgekit.jobs.code import find_code
from edgekit.kit import Kit
from edgekit.latency.bench import timing_row
from edgekit.latency.measured import Measured
from edgekit.latency.pays import speedup
from edgekit.runtimes.placement import CPU
from edgekit.runtimes.registry import RUNTIMES
from edgekit.selection import SUFFIXES, Selected
from edgekit.types import Blob
from edgekit.workbench import Workbench

#: Why a source takes no notice of ``--threads``.
OWN_THREADS = "the source ran with the threads of its own framework; --device 'local?cpus=0' limits both."


@dataclass(frozen=True, slots=True)
class Beside:
    """A source to time.

    Attributes:
        source: loaded once, in the process of its reference.
        ways: how to run it.
        kit: whose source it is; None for a model that the user named.
    """

    source: LoadedSource
    ways: tuple[Way, ...]
    kit: Kit | None


def is_model(path: str | Path) -> bool:
    """Whether a path is a trained model or the code of one, and neither a kit nor an artifact."""
    where = Path(path)
    known = where.suffix in kinds_of_suffix() and where.suffix not in SUFFIXES
    return known or (where / "saved_model.pb").is_file() or find_code(str(path)) is not None


def asked_for(runtimes: Sequence[str]) -> tuple[tuple[SourceRuntime, ...], tuple[str, ...]]:
    """What ``--runtime`` names, apart: ways to run the source, and engines of artifacts.

    Raises:
        UsageError: neither.
    """
    frameworks = {text: parse_runtime(text) for text in runtimes}
    engines = {row.name for row in RUNTIMES if row.travels}
    for text, framework in frameworks.items():
        if framework is None and text.partition(":")[0] not in engines:
            raise UsageError(
                "unknown-runtime",
                f"there is no runtime {text!r}.",
                received=text,
                hint=f"Choose from: {', '.join((*sorted(engines), *FRAMEWORKS))}; keras:torch:predict says it all.",
            )
    found = tuple(framework for framework in frameworks.values() if framework is not None)
    return found, tuple(text for text, framework in frameworks.items() if framework is None)


def sources_beside(
    models: Sequence[str | Path],
    chosen: Sequence[Selected],
    asked: Sequence[SourceRuntime],
    work: Workbench,
    sizes: Sequence[str] = (),
) -> tuple[Beside, ...]:
    """The models that the user named, or where ``--runtime`` names a framework the sources of the artifacts' kits.

    Args:
        models: named by the user.
        chosen: artifacts.
        asked: what ``--runtime`` says of frameworks.
        work: of this command.
        sizes: ``--input`` options, for the models; a kit's source has the sizes that it was exported for.

    Raises:
        UsageError: a framework is asked for, and there is neither a kit nor a model.
        ModelError: the source of a kit is gone or has changed.
        MissingError: its framework is not installed.
    """
    kits = {one.kit.folder: one.kit for one in chosen if one.kit is not None} if asked and not models else {}
    if asked and not models and not kits:
        raise UsageError(
            "no-source",
            "there is no source to run: an artifact outside a kit does not say what it was made from.",
            received=", ".join(one.text for one in asked),
            hint="Name the model too: edgekit bench ARTIFACT MODEL --data samples.npz",
        )
    loaded: list[tuple[LoadedSource, Kit | None]] = [(load_source(work, model, sizes), None) for model in models]
    loaded += [(reload_source(kit, work), kit) for kit in kits.values()]
    return tuple(Beside(one, ways_to_run(one.description.kind, one.backend, asked), kit) for one, kit in loaded)


def candidates_beside(
    besides: Sequence[Beside],
    given: Sequence[tuple[Selected, Mapping[str, Blob]]],
    data: str | Path | None,
    labels: str | None,
    work: Workbench,
) -> list[tuple[Beside, SourceCandidate]]:
    """Every way of every source, on what the artifacts run on; else on ``data``, else on generated inputs.

    Args:
        besides: the sources.
        given: artifacts with their inputs, one ``.npy`` per input name.
        data, labels: see `edgekit.bench`.
        work: of this command.

    Raises:
        DataError: see `read_samples`.
    """
    found = []
    for beside in besides:
        mine = [inputs for one, inputs in given if beside.kit is None or _same(one.kit, beside.kit)]
        if mine:
            inputs = mine[0]
        elif data is not None:
            inputs = work.blobs(read_samples(data, work, beside.source.signature, spare=labels).arrays)
        else:
            inputs = reference_of(work, beside.source, None).inputs
        found += [(beside, candidate) for candidate in source_candidates(beside.source, beside.ways, inputs)]
    return found


def source_row(
    beside: Beside, timed: Measured, device: Device, threads: int | None, *, profile: bool = False
) -> BenchRow:
    """The row of a source that was timed in one way.

    Args:
        beside: the source.
        timed: of a `SourceCandidate`.
        device: where.
        threads: that were asked for.
        profile: whether profiles were asked for; a framework has none.
    """
    assert isinstance(timed.candidate, SourceCandidate)
    source = beside.source
    row = timing_row(timed, device, source.file.name, source.description.kind, "fp32")
    notes = [
        *([] if threads is None else [OWN_THREADS]),
        *([f"no profile: {row.runtime} has none."] if profile else []),
    ]
    return replace(
        row,
        threads=None,
        streams=1,
        reasons=(*row.reasons, *notes),
        sha256=source.file.sha256,
        source=source.file.name if beside.kit is None else beside.kit.manifest.source.path,
        source_sha256=source.file.sha256,
        way=timed.candidate.way,
    )


def gains(
    artifacts: Sequence[tuple[Selected, Measured]], sources: Sequence[tuple[Beside, Measured]], device: Device
) -> tuple[Gain, ...]:
    """How much faster each artifact is than each way to run its source, over the rounds that both took part in."""
    found = []
    for one, timed in artifacts:
        for beside, other in sources:
            foreign = beside.kit is not None and not _same(one.kit, beside.kit)
            ratio = None if foreign or timed.error or other.error else speedup(other, timed)
            if ratio is not None:
                unit = timed.options.accelerator
                name = one.artifact.name.strip() + ("" if unit.upper() == CPU else f" on {unit}")
                found.append(Gain(one.path, name, other.candidate.name, device.name, ratio.value, ratio.ci95))
    return tuple(found)


def _same(kit: Kit | None, other: Kit) -> bool:
    return kit is not None and kit.folder.samefile(other.folder)
