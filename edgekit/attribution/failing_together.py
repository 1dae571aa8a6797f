"""The smallest part of an artifact that shows a fault of operators together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.attribution.failing import cut_out, keep, starts_of
from edgekit.attribution.hidden import Fused
from edgekit.attribution.tensors import Opened
from edgekit.checked import Failing
from edgekit.surgery.base import Graph, Operator
from edgekit.types import Blob

#: Operators around the group on either side, until the part shows the fault on its own: engines fuse by context.
AROUND = (0, 1, 2, 4, 8)


def save_together(
    folder: Path, artifact: Opened, fused: Fused, inputs: Mapping[str, Blob], precision: str
) -> Failing | None:
    """Cut out the group, with more and more around it, and keep the first part that gives another result when one of
    the tensors within is looked at.

    Args:
        folder: for the part; what is there is replaced.
        artifact: the whole.
        fused: the group.
        inputs: of the whole, one ``.npy`` per name, samples first.
        precision: of the artifact; decides how far the two results may be apart.
    """
    inside = fused.tensors[0]
    for steps in AROUND:
        operators = _around(artifact.graph, fused.operators, steps)
        output = operators[-1].outputs[0]
        piece = cut_out(artifact, inputs, starts_of(operators), output)
        if piece is None:
            continue
        part = Opened(artifact.target, piece.files, artifact.graph, artifact.context, artifact.options, artifact.bench)
        wanted = part.outputs(piece.blobs, part.tapped([inside]), whole=True).get(output)
        if wanted is None:
            continue
        names = [one.name for one in fused.operators]
        saved = keep(folder, artifact, piece, wanted, names[0], names, precision, None)
        if saved is not None:
            return saved
    return None


def _around(graph: Graph, group: Sequence[Operator], steps: int) -> list[Operator]:
    """A group with what is computed from it in some steps, and all that this takes up to as many steps before."""
    chosen = {one.name for one in group}
    for _ in range(steps):
        made = {name for one in graph.operators if one.name in chosen for name in one.outputs}
        taken = {name for one in graph.operators if one.name in chosen for name in one.inputs}
        chosen |= {
            one.name for one in graph.operators if not made.isdisjoint(one.inputs) or not taken.isdisjoint(one.outputs)
        }
    return [one for one in graph.operators if one.name in chosen]
