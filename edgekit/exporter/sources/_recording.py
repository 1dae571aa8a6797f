"""What a layer gave, in the form of a record: floating arrays with a batch, each under a name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from edgekit.exporter.loading import Record


class Recorder:
    """Passes on the arrays of one batch.

    Args:
        record: takes them.
        batch: length of their first axis; what has another is no value of a sample.
    """

    def __init__(self, record: Record, batch: int) -> None:
        self._record, self._batch = record, batch
        self._calls: Counter[str] = Counter()

    def __call__(self, name: str, kind: str, values: Iterable[Any]) -> None:
        """Record what one call of a layer returned, by anything that turns into numpy arrays."""
        for value in values:
            array = np.asarray(value)
            if array.dtype.kind != "f" or not array.ndim or len(array) != self._batch:
                continue
            again = self._calls[name]
            self._calls[name] += 1
            self._record(f"{name}:{again}" if again else name, kind, array)
