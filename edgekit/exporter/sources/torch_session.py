"""Torch as the reference, in the model's own precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Effective, Reading, Signature


class TorchSession(Session):
    """A loaded model. Outputs are numpy arrays of the signature's dtypes, owned by the caller."""

    def __init__(self, signature: Signature, call: Callable[..., tuple[Any, ...]], device: str = "cpu") -> None:
        """Args:
        signature: names and types.
        call: the model as a function of tensors in the signature's order.
        device: of torch, where the model lies.
        """
        self.signature = signature
        self._device = device
        self._call: Callable[..., tuple[Any, ...]] | None = call

    def _run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        import torch

        assert self._call is not None, "the session is closed"
        # A copy: torch warns about arrays that it must not write to, such as memory-mapped ones.
        arrays = (np.array(inputs[spec.name], order="C") for spec in self.signature.inputs)
        tensors = [torch.from_numpy(array).to(self._device) for array in arrays]
        with torch.no_grad():
            outputs = self._call(*tensors)
        return {
            spec.name: np.array(output.numpy(force=True), dtype=spec.dtype, order="C")
            for spec, output in zip(self.signature.outputs, outputs, strict=True)
        }

    def effective(self) -> Effective:
        """Torch reports neither; it computes where its tensors lie."""
        return Effective(Reading("f32", "inferred"), Reading(self._device.upper(), "inferred"))

    def close(self) -> None:
        self._call = None
