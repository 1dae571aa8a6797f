"""The smallest part of an artifact that shows a fault, with a script that runs it on the bare engine."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.attribution.script import script_for
from edgekit.attribution.tensors import Opened
from edgekit.checked import Failing
from edgekit.exporter.graph import conversion_context
from edgekit.parity.criteria import POLICIES
from edgekit.parity.layers import Culprit, Match, arranged, innocents
from edgekit.parity.metrics import difference
from edgekit.samples import save_npz
from edgekit.surgery.base import Graph, Operator
from edgekit.surgery.jobs import CutJob
from edgekit.types import Blob


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part begins and ends.

    Attributes:
        inputs: tensors that are right.
        output: the tensor that should hold a layer of the reference.
        match: that layer.
    """

    inputs: tuple[str, ...]
    output: str
    match: Match


@dataclass(frozen=True, slots=True)
class Piece:
    """A part that was cut out and run on its own.

    Attributes:
        files: of the piece, the entry file first.
        inputs: of the piece, ``(inferences, ...)``.
        output: name of its output.
        found: what it gives, ``(inferences, ...)``.
        blobs: its inputs as a message names them.
    """

    files: tuple[Blob, ...]
    inputs: Mapping[str, np.ndarray]
    output: str
    found: np.ndarray
    blobs: Mapping[str, Blob]


def part_of(graph: Graph, culprit: Culprit, matches: Sequence[Match]) -> Part | None:
    """The part from the last right tensors to the first that is wrong and that the reference knows.

    Returns:
        None where no tensor behind the culprit can be told to hold a layer of the reference.
    """
    innocent = innocents(graph, matches)
    for one in matches:
        if one.good or one.tensor is None or one.tensor in innocent:
            continue
        operators = _between(graph, innocent, one.tensor)
        if any(operator.name == culprit.operator.name for operator in operators):
            return Part(starts_of(operators), one.tensor, one)
    return None


def starts_of(operators: Sequence[Operator]) -> tuple[str, ...]:
    """Tensors that some operators take from elsewhere."""
    made = {name for operator in operators for name in operator.outputs}
    return tuple(dict.fromkeys(name for operator in operators for name in operator.inputs if name not in made))


def save_failing(
    folder: Path,
    artifact: Opened,
    culprit: Culprit,
    matches: Sequence[Match],
    inputs: Mapping[str, Blob],
    outputs: Mapping[str, np.ndarray],
    precision: str,
) -> Failing | None:
    """Cut out the faulty part, run it on its own, and keep it if it is wrong there too.

    It ends at the first tensor that is known to hold a layer; where all are too far off to be known, at an output.

    Args:
        folder: for the part; what is there is replaced.
        artifact: the whole.
        culprit: where it goes wrong.
        matches: layers of the reference with their tensors.
        inputs: of the whole, one ``.npy`` per name, samples first.
        outputs: that the whole should give on them, ``(samples, ...)``.
        precision: of the artifact; decides what is wrong.

    Returns:
        None where the part cannot be told apart, or is right on its own: then the fault lies in what the engine makes
        of the whole.
    """
    part = part_of(artifact.graph, culprit, matches)
    if part is None:
        return _save_to_the_end(folder, artifact, culprit, matches, inputs, outputs, precision)
    piece = cut_out(artifact, inputs, part.inputs, part.output)
    if piece is None:
        return None
    wanted = arranged(np.asarray(part.match.layer.values), part.match.axes, piece.found.shape)
    layers = (*reversed(culprit.fused), part.match.layer.name)
    return keep(folder, artifact, piece, wanted, culprit.operator.name, layers, precision, part.match.tolerance)


def _save_to_the_end(
    folder: Path,
    artifact: Opened,
    culprit: Culprit,
    matches: Sequence[Match],
    inputs: Mapping[str, Blob],
    outputs: Mapping[str, np.ndarray],
    precision: str,
) -> Failing | None:
    """The part from the last right tensors to the first output that the culprit leads to and that is wrong."""
    innocent = innocents(artifact.graph, matches)
    for name, wanted in outputs.items():
        operators = _between(artifact.graph, innocent, name)
        if not any(operator.name == culprit.operator.name for operator in operators):
            continue
        piece = cut_out(artifact, inputs, starts_of(operators), name)
        if piece is None or piece.found.size != wanted.size:
            continue
        layers = (*reversed(culprit.fused), culprit.layer or culprit.operator.name)
        shaped = wanted.reshape(piece.found.shape)
        saved = keep(folder, artifact, piece, shaped, culprit.operator.name, layers, precision, None)
        if saved is not None:
            return saved
    return None


def cut_out(artifact: Opened, inputs: Mapping[str, Blob], starts: Sequence[str], output: str) -> Piece | None:
    """A part of an artifact with the inputs that it has in the whole; None where these are not to be had."""
    bench = artifact.bench
    given = _values(artifact, inputs, starts)
    if set(given) != set(starts):
        return None
    shapes = {name: array.shape[1:] for name, array in given.items()}
    files = bench.executor.run(
        CutJob(artifact.target, artifact.files, shapes, (output,)), conversion_context(None)
    ).files
    scratch = bench.scratch("failing")
    blobs = {}
    for index, (name, array) in enumerate(given.items()):
        path = scratch / f"{index}.npy"
        np.save(path, array)
        blobs[name] = bench.executor.add(path)
    found = artifact.outputs(blobs, files, whole=True).get(output)
    return None if found is None else Piece(files, given, output, found, blobs)


def keep(
    folder: Path,
    artifact: Opened,
    piece: Piece,
    wanted: np.ndarray,
    operator: str,
    layers: Sequence[str],
    precision: str,
    tolerance: float | None,
) -> Failing | None:
    """Write a piece that is wrong into a folder, with a script; None where it is right.

    Args:
        folder: what is there is replaced.
        artifact: the whole.
        piece: of it.
        wanted: what should come out, ``(inferences, ...)``.
        operator: where the piece begins.
        layers: what it computes.
        precision: of the artifact.
        tolerance: largest accepted difference; None where SQNR decides.
    """
    one = difference(wanted, piece.found, 1.0)
    least = POLICIES[precision].decibel
    largest = None if one.spoiled or not one.compared else one.max_abs
    sqnr = float("inf") if one.sqnr_db is None else one.sqnr_db
    if largest is not None and (sqnr >= least if tolerance is None else largest <= tolerance):
        return None
    script = folder / "reproduce.py"
    command = f"python {shlex.quote(str(script))}"
    with _replaced(folder) as staging:
        for blob in piece.files:
            shutil.copyfile(artifact.bench.executor.path(blob), staging / blob.name)
        save_npz(staging / "inputs.npz", piece.inputs.items())
        save_npz(staging / "expected.npz", [(piece.output, np.asarray(wanted))])
        text = script_for(artifact.target, piece.files[0].name, ", ".join(layers), command, tolerance, least)
        (staging / script.name).write_text(text)
    return Failing(str(folder), command, operator, tuple(layers), largest)


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A folder to fill that then takes the place of another, so that a command that is killed leaves no half one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
    try:
        yield staging
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _values(artifact: Opened, inputs: Mapping[str, Blob], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Tensors that the part starts from: inputs of the model, or what it computes."""
    found = dict(artifact.values(inputs, [name for name in names if name not in inputs]))
    batch = next((array.shape[1] for array in found.values() if array.ndim > 1), 1)
    for name in names:
        if name in inputs:
            array = np.load(artifact.bench.executor.path(inputs[name]), mmap_mode="r")
            found[name] = array.reshape(-1, batch, *array.shape[1:])
    return found


def _between(graph: Graph, innocent: set[str], tensor: str) -> list[Operator]:
    """Operators that compute a tensor from innocent ones."""
    maker = {name: operator for operator in graph.operators for name in operator.outputs}
    found: dict[str, Operator] = {}
    waiting = [tensor]
    while waiting:
        name = waiting.pop()
        if name in innocent or name not in maker or maker[name].name in found:
            continue
        found[maker[name].name] = maker[name]
        waiting += maker[name].inputs
    return [operator for operator in graph.operators if operator.name in found]
