"""Keras models on the torch backend as plain torch modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.exporter.hops._shapes import traced
from edgekit.types import Signature

if TYPE_CHECKING:
    import torch

    from edgekit.exporter.keras_ import KerasModel


def module(loaded: KerasModel) -> torch.nn.Module:
    """A module that takes the inputs one by one and returns the outputs as a tuple, in the signature's order."""
    import torch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model  # registers the weights

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            return loaded(*tensors)

    return Flat().eval()


def zeros(signature: Signature, batch: int) -> tuple[torch.Tensor, ...]:
    """Example inputs for tracing."""
    import torch

    shapes = traced(signature, batch)
    return tuple(
        torch.zeros(shape, dtype=getattr(torch, spec.dtype)) for shape, spec in zip(shapes, signature.inputs, strict=True)
    )
