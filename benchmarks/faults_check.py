"""What `edgekit check` says of clean artifacts and of those with faults, beside what is so."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from zlib import crc32

from benchmarks.coverage_cells import HERE, Record, last_words, process
from benchmarks.faults_judge import is_right, named_in
from benchmarks.faults_kinds import FAULTS
from benchmarks.faults_kits import TIMEOUT_S, write_artifacts
from benchmarks.faults_models import Architecture
from edgekit.checking import check
from edgekit.errors import EdgekitError
from edgekit.files import companions
from edgekit.kit import Kit
from edgekit.types import Artifact

#: Faults of the whole file or of its signature, which no layer is to blame for.
WHOLE = ("bf16 passed off as fp32", "batch fixed to 1", "outputs in another order", "NaN for one input in 100")

#: What is looked at on the samples that a user gives too, since golden samples are too few for it.
RARE = "NaN for one input in 100"

#: Places that a fault is planted in; one where nothing is said.
_PLACES = {"weights scaled by 1.01": 2, "two channels exchanged": 2}

#: What a fault of an integer artifact can be.
_INTEGER = (
    "weights scaled by 1.01",
    "two channels exchanged",
    "bias dropped",
    "padding on one side",
    "RGB and BGR",
    "input scaled by 1/255 twice",
    "zero point off by one",
    "NaN for one input in 100",
)


def check_clean(chosen: Architecture, folder: Path) -> list[Record]:
    """Every clean artifact of a model: an alarm is false."""
    opened = Kit.open(folder / "clean")
    started = time.monotonic()
    rows = check(opened.folder).to_json()["results"]
    seconds = (time.monotonic() - started) / max(len(rows), 1)
    records = []
    for artifact, row in zip(opened.artifacts, rows, strict=True):
        named = named_in(row)
        records.append(
            {
                "key": "|".join(("clean", chosen.name, artifact.name, artifact.route, artifact.sha256[:8])),
                "kind": "clean",
                "model": chosen.name,
                "target": artifact.target,
                "precision": artifact.precision,
                "route": artifact.route,
                "verdict": row["verdict"],
                "reasons": row["reasons"],
                "stage": named.stage,
                "operators": named.operators,
                "seconds": seconds,
            }
        )
    return [*records, *map(partial(_refused, chosen), json.loads((folder / "clean.json").read_text()))]


def _refused(chosen: Architecture, note: Record) -> Record:
    """What was not made, or not kept, on the way to the clean artifacts."""
    what = note.get("route") or f"{note['target']} {note['precision']}"
    return {"key": f"refused|{chosen.name}|{note['target']}|{what}", "kind": "refused", "model": chosen.name, **note}


def check_faults(
    chosen: Architecture, target: str, precision: str, folder: Path, only: Sequence[str] = ()
) -> list[Record]:
    """Every fault in one artifact of a model, or only some."""
    clean = Kit.open(folder / "clean")
    subject = next((one for one in clean.artifacts if (one.target, one.precision) == (target, precision)), None)
    if subject is None or (only and not set(only) & set(FAULTS if precision == "fp32" else _INTEGER)):
        return []
    with tempfile.TemporaryDirectory(prefix="edgekit-faults-") as temporary:
        work = Path(temporary)
        records = _planted(chosen, subject, clean, folder, work, only)
        present = [record for record in records if "entry" in record]
        _measure(target, clean.files(subject)[0], folder / "large.npz", present)
        _judge(present, subject, clean, work / "kit")
        rare = [record for record in present if record["fault"] == RARE]
        if rare:
            _judge(rare, subject, clean, work / "rare", data=folder / "large.npz")
    for record in records:
        record.pop("entry", None)
        record.pop("graph", None)
    return records


def _planted(
    chosen: Architecture, subject: Artifact, clean: Kit, folder: Path, work: Path, only: Sequence[str]
) -> list[Record]:
    """Plant faults, each into a copy."""
    faults = FAULTS if subject.precision == "fp32" else _INTEGER
    places = [(fault, place) for fault in faults for place in range(_PLACES.get(fault, 1)) if not only or fault in only]
    wanted = [(fault, crc32(f"{chosen.name} {fault} {place}".encode())) for fault, place in places]
    plan = work / "plan.json"
    stored = {"weights": str(folder / "weights.npz"), "large": str(folder / "large.npz"), "wanted": wanted}
    plan.write_text(json.dumps(stored))
    entry = clean.files(subject)[0]
    done = process([HERE / "faults_edit.py", subject.target, entry, work / "planted", plan], "jax", TIMEOUT_S)
    if done.status != 0:
        raise RuntimeError(f"{chosen.name} {subject.name}: {last_words(done)}")
    records: list[Record] = []
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for (fault, place), told in zip(places, answers, strict=True):
        key = f"fault|{chosen.name}|{subject.target}|{subject.precision}|{fault}|{place}"
        cell = {"key": key, "kind": "fault", "model": chosen.name, "target": subject.target}
        record = cell | {"precision": subject.precision, **told}
        twin = next((one for one in records if _same_place(one, record)), None)
        if twin is None:  # a few places are chosen by chance, and may be one
            records.append(record)
    return records


def _same_place(left: Record, right: Record) -> bool:
    return all(left.get(key) == right.get(key) for key in ("fault", "operator", "absent"))


def _measure(target: str, clean: Path, large: Path, records: Sequence[Record]) -> None:
    """What bare engines say. An engine that crashes takes its process with it: the others are run again."""
    waiting = {record["entry"]: record for record in records}
    while waiting:
        done = process([HERE / "faults_compare.py", target, large, clean, *waiting], "jax", TIMEOUT_S)
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for answer in told:
            if not answer.pop("starts", False):
                waiting.pop(answer.pop("entry")).update(answer)
        if not told:
            raise RuntimeError(f"{clean}: {last_words(done)}")
        if waiting and done.status != 0 and "entry" in told[-1]:
            waiting.pop(told[-1]["entry"]).update({"changes": True, "raises": ["the engine crashed"]})


def _judge(records: Sequence[Record], subject: Artifact, clean: Kit, place: Path, data: Path | None = None) -> None:
    """What edgekit says of all of them in one check; of each alone where that check itself gives up."""
    try:
        started = time.monotonic()
        told = _checked(records, subject, clean, place, data)
        seconds = (time.monotonic() - started) / len(records)
    except EdgekitError as error:
        if len(records) > 1:
            for index, record in enumerate(records):
                _judge([record], subject, clean, place.with_name(f"{place.name}-{index}"), data)
            return
        told = [{"verdict": "gave up", "reasons": [error.message], "culprit": None, "failing": None}]
        seconds = 0.0
    for record, row in zip(records, told, strict=True):
        if data is not None:
            record["with_data"] = row["verdict"]
            continue
        named = named_in(row)
        record.update(verdict=row["verdict"], reasons=row["reasons"], culprit=row["culprit"], seconds=seconds)
        record["saved"] = row["failing"] is not None
        if record["fault"] not in WHOLE:
            inserted = "/again" in record["operator"]
            record["right"] = is_right(record["graph"], record["operator"], named, inserted=inserted)


def _checked(records: Sequence[Record], subject: Artifact, clean: Kit, place: Path, data: Path | None) -> list[Record]:
    """Rows of one check, in the order of the records."""
    (place / "artifacts").mkdir(parents=True)
    (place / "results").mkdir()
    shutil.copyfile(clean.folder / "golden.npz", place / "golden.npz")
    parents = [one for one in clean.artifacts if one.sha256 == subject.parent]
    empty = Kit(place, replace(clean.manifest, artifacts=(), results=()), replaces=None)
    write_artifacts(place, empty, [(one, clean.files(one)) for one in parents])
    entries = [Path(record["entry"]) for record in records]
    files = [(entry, *(file for file in companions(entry) if file.is_file())) for entry in entries]
    stored = write_artifacts(place, Kit.open(place), [(subject, several) for several in files])
    result = check(place, target=subject.target, precision=subject.precision, data=data)
    rows = {Path(row["artifact"]).parent.name: row for row in result.to_json()["results"]}
    return [rows[Path(artifact.path).parent.name] for artifact in stored]
