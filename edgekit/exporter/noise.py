"""How far a source's own arithmetic can be trusted: its noise by several methods, and what it reacts to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import numpy as np

from edgekit.errors import EdgekitError
from edgekit.exporter.loading import Loaded
from edgekit.parity.metrics import spread
from edgekit.parity.tolerance import TOLERANCE_HIGH
from edgekit.runtimes.base import Arrays, Session
from edgekit.runtimes.jobs import run_samples

#: By output and by method of `edgekit.parity.tolerance.METHODS`: the largest change, in the output's unit.
Noise = dict[str, dict[str, float]]

#: Samples per inference; a fixed batch of the model goes first.
BATCH = 32

#: Noise and reactions are measured on the first samples: the source runs them once more for each input.
PROBED = 32

#: And by twins on these: double precision costs five times the time, and a compilation.
TWINNED = 4


def run_source(session: Session, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Outputs of a source, in its fixed batch or as many samples at once as make sense."""
    samples = min((len(array) for array in inputs.values()), default=1)
    return run_samples(session, inputs, session.signature.batch or min(BATCH, samples))


def probe(session: Session, inputs: Arrays, outputs: Arrays, rng: np.random.Generator) -> tuple[Noise, dict[str, bool]]:
    """Noise by output from one ulp at the inputs, and reaction by input, on the first samples."""
    probed = {name: np.asarray(array[:PROBED]) for name, array in inputs.items()}
    expected = {name: array[:PROBED] for name, array in outputs.items()}
    moved = differences(expected, run_source(session, one_ulp_away(probed, rng)))
    reacts = {name: _reacts(session, probed, expected, moved, name) for name in probed}
    return {name: {"one-ulp": size} for name, size in moved.items()}, reacts


def twin_noise(loaded: Loaded, inputs: Arrays, outputs: Arrays) -> Noise:
    """Noise by output and method from what computes the same in another arithmetic, on the first few samples.

    A twin that cannot compute the model is left out, and so is one that is further away than any correct artifact
    may be: a function that looks at its own precision is another function in double precision.
    """
    few = {name: np.asarray(array[:TWINNED]) for name, array in inputs.items()}
    scales = {name: spread(array[:PROBED]).scale for name, array in outputs.items()}
    found: Noise = {name: {} for name in outputs}
    for method, opened in loaded.twins().items():
        try:
            with closing(opened()) as session:
                got = run_source(session, few)
        except EdgekitError:  # a measure less is no fault of the model
            continue
        for name, size in differences({name: outputs[name][:TWINNED] for name in outputs}, got).items():
            if size <= TOLERANCE_HIGH * scales[name]:
                found[name][method] = size
    return found


def one_ulp_away(inputs: Mapping[str, np.ndarray], rng: np.random.Generator) -> Arrays:
    """Inputs of which every floating one is moved by one unit in the last place, up or down."""
    return {
        name: np.nextafter(array, np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype))
        if array.dtype.kind == "f"
        else array
        for name, array in inputs.items()
    }


def differences(left: Arrays, right: Arrays) -> dict[str, float]:
    """Largest absolute difference per output, over elements that are finite in both."""
    found = {}
    for name, array in left.items():
        gap = np.abs(array.astype(np.float64) - right[name].astype(np.float64))
        found[name] = float(gap[np.isfinite(gap)].max(initial=0.0))
    return found


def _reacts(
    session: Session, inputs: Mapping[str, np.ndarray], outputs: Arrays, noise: Mapping[str, float], name: str
) -> bool:
    """Whether giving each sample the next one's value of one input changes any output beyond its noise."""
    rolled = {**inputs, name: np.roll(inputs[name], 1, axis=0)}
    return any(change > noise[output] for output, change in differences(outputs, run_source(session, rolled)).items())
