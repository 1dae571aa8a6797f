"""What only another batch size breaks, judged on the samples that ran in it: among many others it would drown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.criteria import POLICIES
from edgekit.parity.metrics import difference
from edgekit.runtimes.jobs import REPEATED

Arrays = Mapping[str, NDArray[Any]]

#: A further batch is wrong when its noise is so much larger than that of the first on the same samples, and beyond the
#: gate: scales that are measured while the artifact runs depend on what lies in one batch, and cost less.
WORSE_DB = 6.0

#: The gate for a precision that has none.
LEAST_DB = 20.0


def batch_faults(wanted: Arrays, outputs: Sequence[Arrays], batches: Sequence[int], precision: str) -> Iterator[str]:
    """Outputs that another batch size makes worse.

    Args:
        wanted: the source's outputs, ``(samples, ...)``.
        outputs: the artifact's in each batch size; behind the first, the first few samples alone ran in it.
        batches: these sizes.
        precision: of the artifact.
    """
    if POLICIES[precision].bounded:
        return  # its largest difference is judged, which drowns in nothing
    gate = POLICIES[precision].decibel or LEAST_DB
    for batch, further in zip(batches[1:], outputs[1:], strict=True):
        count = REPEATED * batch
        for name, want in wanted.items():
            pair = [one[name] for one in (outputs[0], further) if name in one and want.dtype.kind == "f"]
            if len(pair) < 2 or not want.size or any(one.shape != want.shape for one in pair):
                continue  # nothing to measure; what is missing or of another form fails by itself
            before, now = (_decibel(want[:count], one[:count]) for one in pair)
            if now < gate and now < before - WORSE_DB:
                told = f"SQNR {now:.1f} dB in batches of {batch}, {before:.1f} dB in batches of {batches[0]}"
                yield f"output {name}: {told}, on the same samples."


def _decibel(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    found = difference(wanted, got, 1.0).sqnr_db
    return float(np.inf) if found is None else found
