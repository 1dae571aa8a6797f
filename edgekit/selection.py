"""What KIT and ARTIFACT on the command line stand for."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.files import companions
from edgekit.jobs.protocol import blob_of
from edgekit.kit import MANIFEST, Kit, digest_of
from edgekit.runtimes import RuntimeRow, runtime_for
from edgekit.types import Artifact, Signature

#: Artifact format by the suffix of its entry file.
SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".tflite": "tflite"}


@dataclass(frozen=True, slots=True)
class Selected:
    """An artifact to work on.

    Attributes:
        artifact: its description.
        files: its files, the entry file first.
        kit: the kit it belongs to; None for a file of its own.
    """

    artifact: Artifact
    files: tuple[Path, ...]
    kit: Kit | None

    @property
    def path(self) -> str:
        return str(self.files[0])

    @property
    def runtime(self) -> RuntimeRow:
        """What opens it."""
        return runtime_for(self.artifact.target)


def select(path: str | Path, targets: Collection[str] = (), precisions: Collection[str] = ()) -> tuple[Selected, ...]:
    """The artifacts of a kit, or the one at a path.

    Args:
        path: a kit's folder, an artifact of a kit (its folder or its entry file), or a file of its own.
        targets, precisions: only these; empty for all. A file of its own has the precision that is asked for, which
            it does not tell itself.

    Raises:
        UsageError: nothing there, or nothing that was asked for.
        ModelError: a file of a kit is missing or was changed.
    """
    location = Path(path)
    kit = _kit_around(location)
    if kit is None:
        found: tuple[Selected, ...] = (_stray(location, precisions),)
    else:
        made = [artifact for artifact in kit.artifacts if _inside(kit, artifact, location)]
        found = tuple(Selected(artifact, kit.files(artifact), kit) for artifact in made)
        for artifact in made:
            kit.verify(artifact)
    chosen = tuple(
        one
        for one in found
        if (not targets or "all" in targets or one.artifact.target in targets)
        and (not precisions or one.artifact.precision in precisions)
    )
    if not chosen:
        held = ", ".join(one.artifact.name for one in found) or "no artifact"
        raise UsageError(
            "nothing-selected",
            f"{location} holds {held}.",
            received=" ".join([*targets, *precisions]) or str(path),
            hint="Choose other --target or --precision, or make the artifact with edgekit export or quantize.",
        )
    return chosen


def select_one(path: str | Path, target: str = "", precision: str = "") -> Selected:
    """One artifact: the only one that fits.

    Raises:
        UsageError: several fit.
    """
    chosen = select(path, (target,) if target else (), (precision,) if precision else ())
    if len(chosen) > 1:
        raise UsageError(
            "several-artifacts",
            "several artifacts fit, and one has to be chosen.",
            received=", ".join(one.artifact.name for one in chosen),
            hint="Give --target and --precision.",
        )
    return chosen[0]


def _kit_around(location: Path) -> Kit | None:
    if not location.exists():
        raise UsageError(
            "no-such-path",
            "there is no such kit or artifact.",
            received=str(location),
            hint="Give the folder of a kit, or an .onnx, .xml or .tflite file.",
        )
    for folder in (location, *location.resolve().parents[:3]):
        if (folder / MANIFEST).is_file():
            return Kit.open(folder)
    return None


def _inside(kit: Kit, artifact: Artifact, location: Path) -> bool:
    entry = (kit.folder / artifact.path).resolve()
    return location.resolve() in (kit.folder.resolve(), entry.parent, entry)


def _stray(location: Path, precisions: Collection[str]) -> Selected:
    """A file outside any kit: what it claims is unknown until it is opened, but for a precision that is given."""
    target = SUFFIXES.get(location.suffix)
    if target is None or not location.is_file():
        is_model = location.suffix in (".keras", ".pt2", ".jax") or (location / "saved_model.pb").is_file()
        export = f"Make artifacts of the model first: edgekit export {shlex.quote(str(location))}"
        choice = f"Give a folder with {MANIFEST}, or a file that ends in {', '.join(SUFFIXES)}."
        raise UsageError(
            "not-an-artifact",
            "this is neither a kit nor an artifact.",
            received=str(location),
            hint=export if is_model else choice,
        )
    paths = (location, *(file for file in companions(location) if file.is_file()))
    files = tuple(blob_of(file) for file in paths)
    unknown = Signature((), ())
    precision = next(iter(precisions)) if len(precisions) == 1 else ""
    artifact = Artifact(target, precision, location.name, files, digest_of(files), "given", None, unknown, (), {}, {})
    return Selected(artifact, paths, None)
