"""The kit: the output folder of one source.

``kit.json`` is the only commit point: what it names is whole, what it does not name is swept. It is replaced
atomically under a lock, so that a command killed at any moment leaves the old kit or the new one.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import edgekit
from edgekit.errors import InternalError, ModelError, UsageError
from edgekit.figures import SourceSummary
from edgekit.files import check_writable, copy_file, sync_folder, write_text, writing
from edgekit.golden import Golden, Pair, golden_pairs
from edgekit.jobs.codec import from_json, to_json
from edgekit.jobs.protocol import blob_of
from edgekit.parity.coverage import joined
from edgekit.results import Result
from edgekit.types import Artifact, Blob

R = TypeVar("R", bound=Result)

SCHEMA = "edgekit.kit/1"
MANIFEST = "kit.json"
LOCK = ".lock"

#: Where kits go that are not named with ``-o``.
OUTPUT_ROOT = Path("edgekit-out")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``kit.json`` holds.

    Attributes:
        generation: counts the versions of the source file that this kit has served.
        artifacts: the newest of each target and precision.
        results: files in ``results/``, oldest first.
        ranges: least and largest number of each input over all samples that artifacts were calibrated with.
    """

    schema: str
    edgekit: str
    generation: int
    source: SourceSummary
    golden: Golden | None
    artifacts: tuple[Artifact, ...]
    results: tuple[str, ...]
    ranges: dict[str, tuple[float, ...]] = field(default_factory=dict)


class Kit:
    """An open kit. Every change is one `commit`."""

    def __init__(self, folder: Path, manifest: Manifest, *, replaces: str | None) -> None:
        self.folder = folder
        self.manifest = manifest
        self._replaces = replaces  # what the first commit does away with; anything else on disk is added to

    @classmethod
    def open(cls, folder: Path) -> Kit:
        """Open a kit that exists.

        Raises:
            UsageError: no kit there, or one of another version of edgekit.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise UsageError(
                "no-kit",
                "there is no kit here.",
                received=str(folder),
                hint="Make one: edgekit export MODEL --target all",
            )
        again = "Export the model again with --replace."
        data = _json_object(path)
        if data is None:
            raise UsageError("bad-kit", f"{path} is no kit manifest.", hint=again)
        if data.get("schema") != SCHEMA:
            received = str(data.get("schema"))
            raise UsageError("kit-version", f"this version of edgekit reads {SCHEMA}.", received=received, hint=again)
        try:
            return cls(folder, from_json(Manifest, data), replaces=None)
        except InternalError as err:
            raise UsageError(
                "bad-kit", f"{path} was changed: {err.message}", received=err.received, hint=again
            ) from err

    @classmethod
    def prepare(cls, folder: Path, source: SourceSummary, *, replace_source: bool) -> Kit:
        """Open the kit of a source or make an empty one; nothing is written yet.

        A kit of the same file with new content starts a new generation.

        Raises:
            UsageError: the folder holds another source's kit, or files that are no kit.
        """
        check_writable(folder)
        empty = Manifest(SCHEMA, edgekit.__version__, 1, _absolute(source), None, (), ())
        if not (folder / MANIFEST).exists():
            ours = (folder / LOCK).exists()  # of a command that was killed before its first commit
            if folder.is_dir() and not ours and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise UsageError(
                    "not-a-kit",
                    "this folder holds other files.",
                    received=str(folder),
                    hint="Choose another folder with -o.",
                )
            return cls(folder, empty, replaces=None)
        try:
            kit = cls.open(folder)
        except UsageError:
            if not replace_source:
                raise
            return cls(folder, empty, replaces=_read_manifest(folder))
        known = kit.manifest.source
        if known.sha256 == source.sha256:
            return kit
        if replace_source:
            return cls(folder, empty, replaces=_read_manifest(folder))
        if known.path != _absolute_path(source.path):
            raise UsageError(
                "other-source",
                f"this kit belongs to {known.path}.",
                received=source.path,
                hint="Choose another folder with -o, or give --replace.",
            )
        newer = replace(empty, generation=kit.manifest.generation + 1, results=kit.manifest.results)
        return cls(folder, newer, replaces=_read_manifest(folder))

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return self.manifest.artifacts

    @property
    def ranges(self) -> dict[str, tuple[float, ...]]:
        """Least and largest number of each input over all real samples that the kit has met."""
        golden = self.manifest.golden
        return joined(self.manifest.ranges, {} if golden is None else golden.ranges)

    def files(self, artifact: Artifact) -> tuple[Path, ...]:
        """Where the files of an artifact lie, the entry file first."""
        folder = (self.folder / artifact.path).parent
        return tuple(folder / blob.name for blob in artifact.files)

    def verify(self, artifact: Artifact) -> None:
        """Refuse an artifact whose files are missing or were changed.

        Raises:
            ModelError: names the file.
        """
        for path, blob in zip(self.files(artifact), artifact.files, strict=True):
            if not path.is_file() or blob_of(path).sha256 != blob.sha256:
                make = f"edgekit export {self.manifest.source.path} --target {artifact.target} -o {self.folder}"
                if artifact.parent is not None:
                    made = f"--target {artifact.target} --precision {artifact.precision}"
                    make = f"edgekit quantize {self.folder} {made} --data DATA"
                raise ModelError(
                    "changed-artifact",
                    f"{path} is missing or is not what edgekit wrote.",
                    hint=f"Make it again: {make}",
                )

    def golden(self) -> tuple[Pair, ...]:
        """Golden inputs and outputs by name, and after them those of other sizes.

        Raises:
            UsageError: the kit has none.
        """
        golden = self.manifest.golden
        path = None if golden is None else self.folder / golden.file.name
        if golden is None or path is None or not path.is_file() or blob_of(path).sha256 != golden.file.sha256:
            again = f"edgekit export {self.manifest.source.path} --target all -o {self.folder}"
            again += " --data DATA" if golden is not None and golden.inputs == "real" else ""
            raise UsageError(
                "no-golden",
                "the golden samples of this kit are missing or were changed.",
                received=str(self.folder),
                hint=f"Export the model again: {again}",
            )
        return golden_pairs(path, len(golden.sizes))

    def commit(
        self,
        *,
        source: SourceSummary | None = None,
        golden: tuple[Golden, Path] | None = None,
        artifacts: Sequence[tuple[Artifact, Sequence[Path]]] = (),
        result: Result | None = None,
        ranges: Mapping[str, tuple[float, ...]] | None = None,
    ) -> None:
        """Add golden samples, artifacts or a result in one step; all of it is there afterwards, or nothing.

        Args:
            source: new summary of the source.
            golden: description and file.
            artifacts: descriptions with the files to copy; ``path`` is filled in here. An older artifact of the
                same target and precision is dropped.
            result: stored under ``results/``.
            ranges: of samples that the artifacts were calibrated with, joined with those known.

        Raises:
            UsageError: the folder cannot be written, the disk is full, or another command has put another source
                into the kit meanwhile.
        """
        with writing(self.folder), self._locked():
            manifest = self._current()
            manifest = replace(
                manifest, source=_absolute(source) if source else manifest.source, edgekit=edgekit.__version__
            )
            if golden is not None:
                manifest = replace(manifest, golden=self._store_golden(*golden))
            for artifact, files in artifacts:
                stored = self._store_artifact(artifact, files)
                kept = tuple(old for old in manifest.artifacts if old.name != stored.name)
                manifest = replace(manifest, artifacts=(*kept, stored))
            if ranges:
                manifest = replace(manifest, ranges=joined(manifest.ranges, ranges))
            if result is not None:
                manifest = replace(manifest, results=(*manifest.results, self._store_result(result)))
            write_text(self.folder / MANIFEST, json.dumps(to_json(manifest), indent=1))
            self.manifest, self._replaces = manifest, None
            self._sweep()

    def _current(self) -> Manifest:
        """The manifest to add to: the one on disk, which another command may have changed since this kit was opened."""
        text = _read_manifest(self.folder)
        if text is None or text == self._replaces:
            return self.manifest
        current = Kit.open(self.folder).manifest
        if current.source.sha256 != self.manifest.source.sha256:
            raise UsageError(
                "other-source",
                "another command has put another source into this kit meanwhile.",
                received=current.source.path,
                hint="Run again, with a folder of its own: -o FOLDER",
            )
        return current

    def stored_results(self, kind: type[R]) -> list[R]:
        """Stored results of one command, newest first; files that somebody has removed or changed are left out."""
        prefix = _result_prefix(kind.schema)
        found = []
        for name in reversed(self.manifest.results):
            data = _json_object(self.folder / "results" / name) if name.startswith(prefix) else None
            if data is not None and data.pop("schema", None) == kind.schema:
                with suppress(InternalError):  # of another version of edgekit, or edited by hand
                    found.append(from_json(kind, data))
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _store_golden(self, golden: Golden, source: Path) -> Golden:
        path = self.folder / "golden.npz"
        if path.exists() and blob_of(path).sha256 != golden.file.sha256:
            path = self.folder / f"golden-{golden.file.sha256[:8]}.npz"  # the old one stays until the commit
        if not path.exists() or blob_of(path).sha256 != golden.file.sha256:
            copy_file(source, path)
        return replace(golden, file=replace(golden.file, name=path.name))

    def _store_artifact(self, artifact: Artifact, files: Sequence[Path]) -> Artifact:
        root = self.folder / "artifacts"
        root.mkdir(exist_ok=True)
        name = plain = f"{artifact.target}-{artifact.precision}-{artifact.sha256[:8]}"
        numbers = itertools.count(2)
        while (root / name).exists() and not _holds(root / name, artifact.files):
            name = f"{plain}-{next(numbers)}"  # what stands there was changed; it goes when nothing names it
        if not (root / name).exists():
            staging = Path(tempfile.mkdtemp(dir=root, prefix=".tmp-"))
            for file, blob in zip(files, artifact.files, strict=True):
                copy_file(file, staging / blob.name)
            staging.chmod(0o755)
            staging.rename(root / name)
            sync_folder(root)
        return replace(artifact, path=f"artifacts/{name}/{artifact.files[0].name}")

    def _store_result(self, result: Result) -> str:
        root = self.folder / "results"
        root.mkdir(exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = f"{_result_prefix(result.schema)}{stamp}.json"
        write_text(root / name, json.dumps(result.to_json(), indent=1))
        return name

    def _sweep(self) -> None:
        """Remove what the manifest does not name: leftovers of killed commands and replaced artifacts."""
        for path in (*self.folder.glob(".tmp-*"), *(self.folder / "results").glob(".tmp-*")):
            path.unlink()
        named = {Path(artifact.path).parent.name for artifact in self.artifacts}
        for folder in (self.folder / "artifacts").glob("*"):
            if folder.name not in named:
                shutil.rmtree(folder)
        golden = self.manifest.golden
        for path in self.folder.glob("golden*.npz"):
            if golden is None or path.name != golden.file.name:
                path.unlink()


def default_folder(stem: str) -> Path:
    """``edgekit-out/<stem>``."""
    return OUTPUT_ROOT / stem


def digest_of(files: Sequence[Blob]) -> str:
    """One digest over all files of an artifact."""
    return sha256("".join(f"{blob.name}:{blob.sha256}\n" for blob in files).encode()).hexdigest()


def _read_manifest(folder: Path) -> str | None:
    path = folder / MANIFEST
    return path.read_text(errors="replace") if path.is_file() else None


def _absolute(source: SourceSummary) -> SourceSummary:
    """With paths that mean the same from every folder; a module's name does already."""
    custom = tuple(str(Path(path).resolve()) for path in source.custom_objects)
    return replace(source, path=_absolute_path(source.path), custom_objects=custom)


def _absolute_path(name: str) -> str:
    return name if ":" in name and ".py:" not in name else str(Path(name).resolve())


def _holds(folder: Path, files: Sequence[Blob]) -> bool:
    """Whether a folder has exactly these contents."""
    return all((folder / blob.name).is_file() and blob_of(folder / blob.name) == blob for blob in files)


def _json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _result_prefix(schema: str) -> str:
    return schema.removeprefix("edgekit.").partition("/")[0] + "-"
