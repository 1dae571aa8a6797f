"""A model beside an artifact that a test names: a file, a kit, or a target to export to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.checked import CheckRow
from edgekit.checking import check
from edgekit.data.read import read_samples
from edgekit.errors import UsageError
from edgekit.exporter.export import export
from edgekit.exporter.graph import TARGETS
from edgekit.exporter.reference import golden_of, load_source, reference_of
from edgekit.exporter.source import open_source
from edgekit.figures import ArtifactResult
from edgekit.kit import MANIFEST, Kit
from edgekit.parity.task import ACCURACY
from edgekit.results import CheckResult
from edgekit.samples import golden_subset
from edgekit.selection import Selected, select
from edgekit.types import Verdict
from edgekit.workbench import SEED, workbench


@dataclass(frozen=True, slots=True)
class Judged:
    """What a test asks about its artifacts.

    Attributes:
        labels, metric, max_drop, tolerance: as in `edgekit.check`.
        precision: only the artifacts of a kit that have it; what a file of its own is judged by, fp32 where None.
    """

    labels: str | None = None
    metric: str = ACCURACY.name
    max_drop: float | None = None
    tolerance: float | None = None
    precision: str | None = None


def check_artifacts(
    model: str | Path, artifact: str | Path | None, data: str | Path | None, asked: Judged, folder: Path
) -> CheckResult | ArtifactResult:
    """Compare as `edgekit.check` does; nothing is written outside ``folder``.

    Args:
        model: a model, or a kit where no artifact is given.
        artifact: a file, a kit or an artifact of one, or a target to export to.
        data: real samples, or None to generate some, or to take those of the kit.
        asked: what is judged and how.
        folder: an empty folder for kits.

    Returns:
        The check, or the export that gave nothing to check.

    Raises:
        EdgekitError: see `edgekit.check` and `edgekit.export`.
    """
    if artifact is None:
        return _check(_copied(_own_kit(model), folder / "kit"), data, asked)
    if str(artifact) in TARGETS:
        made = export(model, str(artifact), output=folder / "kit", data=data, labels=asked.labels).artifacts[0]
        return made if made.path is None else _check(folder / "kit", data, asked)
    chosen = select(artifact)
    kit = chosen[0].kit
    if kit is None:
        whole = _kit_of(model, chosen[0], data, asked, folder / "kit")
        return _check(folder / "kit", None if whole else data, asked)
    if open_source(model).sha256 == kit.manifest.source.sha256:
        _copied(kit, folder / "kit")
        place = Path(artifact).resolve().relative_to(kit.folder.resolve())
        return _check(folder / "kit" / place, data, asked)
    return _check(Path(artifact), data, asked, against=model)


def _check(path: Path, data: str | Path | None, asked: Judged, against: str | Path | None = None) -> CheckResult:
    return check(
        path,
        against=against,
        data=data,
        labels=asked.labels,
        metric=asked.metric,
        max_drop=asked.max_drop,
        precision=asked.precision or (),
        tolerance=asked.tolerance,
    )


def _own_kit(model: str | Path) -> Kit:
    """The kit that a test gives alone, to be compared with its own source."""
    if (Path(model) / MANIFEST).is_file():
        return Kit.open(Path(model))
    raise UsageError(
        "nothing-to-compare",
        "only a kit can be compared without naming an artifact.",
        received=str(model),
        hint=f"Name a file, a kit, or a target to export to: {', '.join(TARGETS)}.",
    )


def _copied(kit: Kit, folder: Path) -> Path:
    """A copy, since a check stores its result and the failing part in the kit."""
    shutil.copytree(kit.folder, folder, ignore=shutil.ignore_patterns("failing", ".tmp-*"))
    return folder


def _kit_of(model: str | Path, given: Selected, data: str | Path | None, asked: Judged, folder: Path) -> bool:
    """Put a file of its own into a kit of the model, so that it is looked at as exports are.

    Returns:
        Whether the kit's golden samples are all that was asked for.
    """
    with workbench() as bench:
        source = load_source(bench, model)
        samples = None if data is None else read_samples(data, bench, source.signature, asked.labels)
        golden = None if samples is None else golden_subset(samples, bench.scratch("golden"), SEED)
        reference = reference_of(bench, source, golden)
        artifact = replace(given.artifact, precision=asked.precision or "fp32")
        kit = Kit.prepare(folder, source.summary(), replace_source=False)
        kit.commit(source=source.summary(), golden=golden_of(reference, bench), artifacts=[(artifact, given.files)])
        return samples is None or (asked.labels is None and len(samples) == reference.samples)


def complaint(row: CheckRow | ArtifactResult) -> str:
    """What is wrong with one artifact, in few lines."""
    lines = [f"{row.target} {row.precision} {row.verdict}: {row.reasons[0] if row.reasons else 'no reason is known.'}"]
    lines.extend(f"  {reason}" for reason in row.reasons[1:])
    if isinstance(row, CheckRow):
        if row.culprit is not None:
            lines.append(f"  culprit: {row.culprit}")
        if row.failing is not None:
            lines.append(f"  smallest failing part: {row.failing.command}")
    return "\n".join(lines)


def rows_of(result: CheckResult | ArtifactResult) -> tuple[CheckRow | ArtifactResult, ...]:
    """What was judged."""
    return (result,) if isinstance(result, ArtifactResult) else result.results


def refused(verdict: Verdict, *, strict: bool) -> bool:
    """Whether a verdict fails a test."""
    return verdict in ("failed", "error") or (strict and verdict == "weak")
