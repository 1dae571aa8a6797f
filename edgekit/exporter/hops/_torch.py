"""Keras models on the torch backend as plain torch modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.exporter.hops._shapes import traced
from edgekit.types import Signature

if TYPE_CHECKING:
    import torch

    from edgekit.exporter.keras_ import KerasModel


def positional(loaded: KerasModel) -> torch.nn.Module:
    """A module that takes inputs one by one and returns outputs as a tuple, in the signature's order."""
    import torch

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model  # registers the weights

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            return loaded(*tensors)

    return Positional().eval()


def named(loaded: KerasModel, signature: Signature) -> torch.nn.Module:
    """A module that takes inputs as keyword arguments and returns outputs in a dictionary, by the signature's names."""
    import torch

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model  # registers the weights

        def forward(self, **tensors: Any) -> dict[str, Any]:
            outputs = loaded(*(tensors[spec.name] for spec in signature.inputs))
            return {spec.name: output for spec, output in zip(signature.outputs, outputs, strict=True)}

    return Named().eval()


def zeros(signature: Signature, batch: int) -> dict[str, torch.Tensor]:
    """Example inputs for tracing, by name.

    Raises:
        ModelError: a dimension besides the batch is free.
    """
    import torch

    shapes = traced(signature, batch)
    return {
        spec.name: torch.zeros(shape, dtype=getattr(torch, spec.dtype))
        for shape, spec in zip(shapes, signature.inputs, strict=True)
    }
