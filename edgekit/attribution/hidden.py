"""Faults that looking hides: an output in the middle of a fused group makes the engine compute it otherwise.

So the outputs of a tapped artifact are compared with those of the same one untapped. Where they differ, what many taps
show at once is not what happens without them: each tap may mend one fusion and spoil another. Then one tensor at a time
is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.attribution.tensors import Opened
from edgekit.parity.criteria import POLICIES
from edgekit.parity.layers import Layer, Match, grouped, match
from edgekit.parity.metrics import difference
from edgekit.surgery.base import Graph, Operator
from edgekit.surgery.needs import upstream
from edgekit.surgery.taps import numbers
from edgekit.types import Blob

#: A tap mends a result that it brings within the gate, or by so much nearer, and above the second figure: taps in an
#: artifact whose result is noise move it by several decibel.
MENDED_DB, LEAST_MENDED_DB = 10.0, 6.0

#: Most taps that are tried one by one.
PROBES = 96


@dataclass(frozen=True, slots=True)
class Fused:
    """Operators that are right one by one and wrong together.

    Attributes:
        operators: in the order of execution.
        tensors: between them; each of them, looked at alone, mends the result.
        matches: of the layers whose tensors were looked at, with what they hold when looked at alone.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[str, ...]
    matches: tuple[Match, ...]


def worst_db(wanted: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> float:
    """SQNR of the worst output; infinity where all are equal.

    Args:
        wanted: outputs by name, ``(samples, ...)``.
        outputs: the same as an artifact gave them, ``(inferences, batch, ...)``, perhaps without the last samples.
    """
    found = float("inf")
    for name, array in wanted.items():
        got = outputs.get(name)
        if got is None or not len(got) or got.size % max(1, array[:1].size):
            return -float("inf")
        got = got.reshape(-1, *array.shape[1:])
        one = difference(array[: len(got)], got[: len(array)], 1.0)
        if one.spoiled or not one.compared:
            return -float("inf")
        found = min(found, float("inf") if one.sqnr_db is None else one.sqnr_db)
    return found


def taps_change(plain: Mapping[str, np.ndarray], tapped: Iterable[Mapping[str, np.ndarray]], precision: str) -> bool:
    """Whether an artifact gives other results once tensors inside it are outputs.

    Args:
        plain: its outputs as it is, ``(inferences, batch, ...)``.
        tapped: its outputs in each run with taps.
        precision: of the artifact; decides how far two runs of the same arithmetic may be apart.
    """
    least = max(POLICIES[precision].decibel, LEAST_MENDED_DB)
    flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in plain.items() if array.ndim > 1}
    return any(worst_db(flat, outputs) < least for outputs in tapped)


def find_hidden(
    artifact: Opened,
    layers: Sequence[Layer],
    inputs: Mapping[str, Blob],
    quality: Callable[[Mapping[str, np.ndarray]], float],
    precision: str,
) -> Fused | None:
    """The group of operators whose fusion is wrong, by one tap per compilation.

    A tensor before the group is right when it is looked at alone, one behind it is wrong, and one within mends the
    result. So the first of them is found by bisection among the tensors that have a counterpart in the reference;
    where branches mislead it, the others follow one by one. The neighbours of what mends are tried as well.

    Args:
        artifact: its result is wrong.
        layers: of the reference, on the same samples.
        inputs: one ``.npy`` per input name, samples first.
        quality: SQNR in dB of the outputs of the artifact, taps among them.
        precision: of the artifact.

    Returns:
        None where no tap mends it.
    """
    probes = _Probes(artifact, layers, inputs, quality, precision)
    found = next((name for name in _tries(probes, artifact.graph, layers) if probes.mends(name)), None)
    if found is None:
        return None
    mending, waiting = {found}, [found]
    while waiting:
        for name in _neighbours(artifact.graph, waiting.pop()):
            if name in probes.names and name not in mending and probes.mends(name):
                mending.add(name)
                waiting.append(name)
    around = [one for one in artifact.graph.operators if not mending.isdisjoint((*one.inputs, *one.outputs))]
    tensors = tuple(name for name in probes.names if name in mending)
    return Fused(tuple(around), tensors, probes.matches())


class _Probes:
    """What single taps show; each is tried once.

    Attributes:
        names: tensors that can be tapped, in the order of execution.
    """

    def __init__(
        self,
        artifact: Opened,
        layers: Sequence[Layer],
        inputs: Mapping[str, Blob],
        quality: Callable[[Mapping[str, np.ndarray]], float],
        precision: str,
    ) -> None:
        graph = artifact.graph
        used = upstream(graph, graph.outputs) - {*graph.outputs, *graph.inputs}
        self.names = [name for name in numbers(graph) if name in used]
        self._artifact, self._layers, self._inputs = artifact, layers, inputs
        self._quality, self._precision = quality, precision
        as_it_is = quality(artifact.outputs(inputs))
        gate = POLICIES[precision].decibel
        self._enough = min(gate, max(as_it_is + MENDED_DB, LEAST_MENDED_DB))
        self._seen: dict[str, tuple[bool, tuple[Match, ...]]] = {}

    def mends(self, name: str) -> bool:
        """Whether this tap alone mends the result; no after `PROBES` tries."""
        return self._probe(name)[0] if name in self._seen or len(self._seen) < PROBES else False

    def is_right(self, name: str) -> bool:
        """Whether the tensor, looked at alone, holds what a layer of the reference computes."""
        return any(one.good for one in self._probe(name)[1])

    def matches(self) -> tuple[Match, ...]:
        """Each layer with the best of the tensors that were looked at."""
        found: dict[str, Match] = {}
        for _, matches in self._seen.values():
            for one in matches:
                known = found.get(one.layer.name)
                if known is None or (one.sqnr_db or 0.0) > (known.sqnr_db or 0.0):
                    found[one.layer.name] = one
        missing = (Match(layer, None, None, None, None, good=False) for layer in self._layers)
        return tuple(found.get(one.layer.name, one) for one in missing)

    def _probe(self, name: str) -> tuple[bool, tuple[Match, ...]]:
        if name not in self._seen:
            outputs = self._artifact.outputs(self._inputs, self._artifact.tapped([name]))
            held = {name: outputs[name]} if name in outputs else {}
            layers = grouped(self._layers, len(held[name])) if held else ()
            matches = tuple(one for one in match(layers, held, self._precision) if one.tensor is not None)
            self._seen[name] = self._quality(outputs) >= self._enough, matches
        return self._seen[name]


def _tries(probes: _Probes, graph: Graph, layers: Sequence[Layer]) -> Iterator[str]:
    """Tensors in the order in which they are to be tried: a bisection, what it leaves between, and the others."""
    maker = {name: operator.name for operator in graph.operators for name in operator.outputs}
    known = {layer.name for layer in layers}
    places = [place for place, name in enumerate(probes.names) if maker[name] in known] or range(len(probes.names))
    low, high = -1, len(places)
    while high - low > 1:
        middle = (low + high) // 2
        yield probes.names[places[middle]]
        if probes.is_right(probes.names[places[middle]]):
            low = middle
        else:
            high = middle
    first = 0 if low < 0 else places[low]
    last = len(probes.names) if high == len(places) else places[high]
    yield from probes.names[first:last]
    yield from reversed(probes.names[:first])
    yield from probes.names[last:]


def _neighbours(graph: Graph, tensor: str) -> Iterator[str]:
    """What a tensor is computed from, and what is computed from it."""
    for operator in graph.operators:
        if tensor in operator.outputs:
            yield from operator.inputs
        if tensor in operator.inputs:
            yield from operator.outputs
