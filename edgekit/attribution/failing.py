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
from edgekit.exporter.graph import conversion_context
from edgekit.figures import Failing
from edgekit.parity.layers import Culprit, Match, arranged, upstream
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


def part_of(graph: Graph, culprit: Culprit, matches: Sequence[Match]) -> Part | None:
    """The part from the last right tensors to the first that is wrong and that the reference knows.

    Returns:
        None where no tensor behind the culprit can be told to hold a layer of the reference.
    """
    innocent = upstream(graph, [one.tensor for one in matches if one.good and one.tensor is not None])
    for one in matches:
        if one.good or one.tensor is None or one.tensor in innocent:
            continue
        operators = _between(graph, innocent, one.tensor)
        if any(operator.name == culprit.operator.name for operator in operators):
            made = {name for operator in operators for name in operator.outputs}
            needed = dict.fromkeys(name for operator in operators for name in operator.inputs if name not in made)
            return Part(tuple(needed), one.tensor, one)
    return None


def save_failing(
    folder: Path, artifact: Opened, culprit: Culprit, matches: Sequence[Match], inputs: Mapping[str, Blob]
) -> Failing | None:
    """Cut out the faulty part, run it on its own, and keep it if it is wrong there too.

    Args:
        folder: for the part; what is there is replaced.
        artifact: the whole.
        culprit: where it goes wrong.
        matches: layers of the reference with their tensors.
        inputs: of the whole, one ``.npy`` per name, samples first.

    Returns:
        None where the part cannot be told apart, or is right on its own: then the fault lies in what the engine makes
        of the whole.
    """
    part = part_of(artifact.graph, culprit, matches)
    if part is None:
        return None
    bench = artifact.bench
    given = _values(artifact, inputs, part.inputs)
    if set(given) != set(part.inputs):
        return None
    shapes = {name: array.shape[1:] for name, array in given.items()}
    job = CutJob(artifact.target, artifact.files, shapes, (part.output,))
    piece = bench.executor.run(job, conversion_context(None)).files
    scratch = bench.scratch("failing")
    blobs = {}
    for index, (name, array) in enumerate(given.items()):
        path = scratch / f"{index}.npy"
        np.save(path, array.reshape(-1, *array.shape[2:]) if array.ndim > 1 else array)
        blobs[name] = bench.executor.add(path)
    found = artifact.outputs(blobs, piece).get(part.output)
    if found is None:
        return None
    wanted = arranged(np.asarray(part.match.layer.values), part.match.axes, found.shape)
    gap = np.abs(found.astype(np.float64) - wanted)
    largest = float("inf") if np.isnan(gap).any() else float(gap.max())
    allowed = part.match.tolerance or 0.0
    if largest <= allowed:
        return None
    script = folder / "reproduce.py"
    layers = (*reversed(culprit.fused), part.match.layer.name)
    command = f"python {shlex.quote(str(script))}"
    with _replaced(folder) as staging:
        for blob in piece:
            shutil.copyfile(bench.executor.path(blob), staging / blob.name)
        save_npz(staging / "inputs.npz", given.items())
        save_npz(staging / "expected.npz", [(part.output, np.asarray(wanted))])
        text = script_for(artifact.target, piece[0].name, layers, command, allowed)
        (staging / script.name).write_text(text)
    return Failing(str(folder), command, culprit.operator.name, layers, largest)


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
    found = artifact.values(inputs, [name for name in names if name not in inputs])
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
