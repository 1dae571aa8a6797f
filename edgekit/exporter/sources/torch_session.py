"""Torch as the reference: on the CPU, in the model's own precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Effective, Reading

if TYPE_CHECKING:
    from edgekit.exporter.sources.torch_ import TorchModel


class TorchSession(Session):
    """A loaded model. Outputs are numpy arrays of the signature's dtypes, owned by the caller."""

    def __init__(self, loaded: TorchModel) -> None:
        self.signature = loaded.signature
        self._loaded: TorchModel | None = loaded

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        import torch

        assert self._loaded is not None, "the session is closed"
        # A copy: torch warns about arrays that it must not write to, such as memory-mapped ones.
        tensors = [torch.from_numpy(np.array(inputs[spec.name], order="C")) for spec in self.signature.inputs]
        with torch.no_grad():
            outputs = self._loaded(*tensors)
        return {
            spec.name: np.array(output.numpy(force=True), dtype=spec.dtype, order="C")
            for spec, output in zip(self.signature.outputs, outputs, strict=True)
        }

    def effective(self) -> Effective:
        """Torch reports neither; the process was kept off accelerators."""
        return Effective(Reading("f32", "inferred"), Reading("CPU", "inferred"))

    def close(self) -> None:
        self._loaded = None
