"""Kits of the fault benchmark: every clean artifact of a model in one kit, and copies with faults in another.

A kit that edgekit makes holds one artifact of each target and precision. These hold as many as there are, so that one
check judges them all; every artifact is judged by itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.coverage_cells import HERE, TARGETS, Record, last_words, process
from benchmarks.faults_models import Architecture
from benchmarks.zoo.registry import model as zoo_model
from edgekit.errors import EdgekitError
from edgekit.exporter.attempts import Converter, try_routes
from edgekit.exporter.export import ExportOptions, export
from edgekit.exporter.reference import load_source, stored_reference
from edgekit.files import write_text
from edgekit.jobs.codec import to_json
from edgekit.jobs.protocol import blob_of
from edgekit.kit import MANIFEST, Kit, digest_of
from edgekit.quantizer.quantize import quantize
from edgekit.types import Artifact
from edgekit.workbench import workbench

#: Seconds that making one model may take.
TIMEOUT_S = 600.0


def make_model(chosen: Architecture, folder: Path) -> str | None:
    """Train or build a model once. Returns why that failed, or None."""
    if (folder / "large.npz").is_file():
        return None
    backend = chosen.backend if chosen.framework == "keras" else "jax"
    done = process([HERE / "faults_models.py", folder, chosen.name], backend, TIMEOUT_S)
    return None if done.status == 0 else last_words(done)


def source_of(chosen: Architecture, folder: Path) -> str:
    """What a user names."""
    return str(folder / "model.keras") if chosen.framework == "keras" else zoo_model(chosen.name).reference


def clean_kit(chosen: Architecture, folder: Path) -> tuple[Path, list[Record]]:
    """Export by every route and quantize to every precision, once.

    Returns:
        The kit, and what could not be made with the reason.
    """
    kit, notes = folder / "clean", folder / "clean.json"
    if notes.is_file() and _opens(kit):
        told: list[Record] = json.loads(notes.read_text())
        return kit, told
    shutil.rmtree(kit, ignore_errors=True)
    data = folder / "data.npz"
    labels = "label" if data.is_file() else None
    given = data if data.is_file() else None
    source = source_of(chosen, folder)
    export(source, output=kit, data=given, labels=labels, backend="auto", replace=True)
    told = _quantized(chosen, kit, given, labels)
    told += _every_route(chosen, kit, source)
    notes.write_text(json.dumps(told, indent=1))
    return kit, told


def _opens(kit: Path) -> bool:
    """Whether a kit is of this version of edgekit."""
    try:
        Kit.open(kit)
    except EdgekitError:
        return False
    return True


def _quantized(chosen: Architecture, kit: Path, data: Path | None, labels: str | None) -> list[Record]:
    told = []
    for target in TARGETS:
        for precision in chosen.quantized:
            needs = precision in ("int8",)
            try:
                made = quantize(
                    kit,
                    data if needs else None,
                    labels=labels if needs else None,
                    target=target,
                    precision=precision,
                    trials=2,
                    pays=False,
                )
            except EdgekitError as error:
                told.append({"target": target, "precision": precision, "outcome": "refused", "reason": error.message})
                continue
            told += [
                {"target": target, "precision": precision, "outcome": row.verdict, "reason": " ".join(row.reasons)}
                for row in made.artifacts
                if row.path is None
            ]
    return told


def _every_route(chosen: Architecture, kit: Path, source: str) -> list[Record]:
    """Add the fp32 artifacts of all other routes to a kit."""
    opened = Kit.open(kit)
    known = {artifact.sha256 for artifact in opened.artifacts}
    added: list[tuple[Artifact, tuple[Path, ...]]] = []
    told: list[Record] = []
    with workbench() as bench:
        loaded = load_source(bench, source, (), chosen.backend)
        reference = stored_reference(opened, bench)
        converter = Converter(bench.executor, loaded, None)
        planned = ExportOptions(("all",)).planned(loaded.description.kind, loaded.signature)
        for target, routes in planned.items():
            made, attempts = try_routes(target, routes, reference, converter, lambda _: None, every=True)
            for one in made:
                if one.artifact.sha256 not in known:
                    known.add(one.artifact.sha256)
                    added.append((one.artifact, one.files))
            told += [
                {"target": target, "route": one.route, "outcome": one.outcome, "reason": one.reason}
                for one in attempts
                if one.outcome not in ("accepted", "missing")
            ]
        write_artifacts(kit, opened, added)
    return told


def write_artifacts(kit: Path, opened: Kit, added: Sequence[tuple[Artifact, Sequence[Path]]]) -> list[Artifact]:
    """Put files into a kit beside the artifacts that it has, digests made right.

    Returns:
        The artifacts as the manifest names them.
    """
    stored = []
    for artifact, files in added:
        blobs = tuple(blob_of(file) for file in files)
        number = len(list((kit / "artifacts").iterdir()))
        place = kit / "artifacts" / f"{artifact.target}-{artifact.precision}-{digest_of(blobs)[:8]}-{number}"
        place.mkdir()
        for file in files:
            shutil.copyfile(file, place / file.name)
        path = f"artifacts/{place.name}/{files[0].name}"
        stored.append(replace(artifact, path=path, files=blobs, sha256=digest_of(blobs)))
    manifest = replace(opened.manifest, artifacts=(*opened.manifest.artifacts, *stored))
    write_text(kit / MANIFEST, json.dumps(to_json(manifest), indent=1))
    return stored
