"""Torch modules as programs of ``torch.export``: tracing, and what is free in a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from edgekit.errors import EdgekitError, JobFailed
from edgekit.exporter.hops._shapes import free_size
from edgekit.types import Signature

if TYPE_CHECKING:
    import torch


class Traceable(Protocol):
    """A loaded model of torch, or of Keras on torch.

    Attributes:
        model: a ``torch.nn.Module``.
    """

    @property
    def model(self) -> Any: ...

    def __call__(self, *tensors: Any) -> tuple[Any, ...]: ...


class Sampled(Traceable, Protocol):
    """A loaded model of torch with what it is traced with.

    Attributes:
        signature: inputs and outputs by name.
        samples: inputs, two of a free batch.
    """

    @property
    def signature(self) -> Signature: ...

    @property
    def samples(self) -> tuple[Any, ...]: ...


def positional(loaded: Traceable) -> torch.nn.Module:
    """A module that takes inputs one by one and returns outputs as a tuple, in the signature's order."""
    import torch

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model  # registers the weights

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            return loaded(*tensors)

    return evaluated(Positional())


def evaluated(module: torch.nn.Module) -> torch.nn.Module:
    """The module out of training mode; a traced program, which has no modes, refuses to be asked."""
    for part in module.modules():
        part.training = False
    return module


def program_of(loaded: Sampled) -> torch.export.ExportedProgram:
    """Trace a module; what the signature leaves free stays free, but the batch becomes 1 where torch cannot keep it.

    Raises:
        ModelError: torch cannot keep another dimension free.
        JobFailed: torch cannot trace the model, with torch's reason.
    """
    inputs = loaded.signature.inputs
    refusals: list[Exception] = []
    for batch_is_free in (True, False):
        samples = tuple(
            sample if batch_is_free or spec.shape[0] is not None else sample[:1]
            for spec, sample in zip(inputs, loaded.samples, strict=True)
        )
        free = [
            [axis for axis, length in enumerate(spec.shape) if length is None and (axis or batch_is_free)]
            for spec in inputs
        ]
        for strict in (False, True):
            try:
                program = trace(loaded, samples, free, strict=strict)
            except Exception as err:  # noqa: BLE001  # torch raises whatever its parts raise
                refusals.append(err)
                continue
            fixed = _fixed(program, free)
            for spec, axes in zip(inputs, fixed, strict=True):
                if any(axes):
                    raise free_size(spec)
            if not any(fixed):
                return program
    raise export_failed(refusals[0]) from refusals[0]


def trace(
    loaded: Sampled, samples: tuple[torch.Tensor, ...], free: list[list[int]], *, strict: bool
) -> torch.export.ExportedProgram:
    import torch

    sizes = tuple(dict.fromkeys(axes, torch.export.Dim.AUTO) for axes in free)
    with torch.no_grad():
        return torch.export.export(positional(loaded), samples, dynamic_shapes=(sizes,), strict=strict)


def _fixed(program: torch.export.ExportedProgram, free: list[list[int]]) -> list[list[int]]:
    """Axes per input that should be free and are not: torch fixes what the model's own code depends on."""
    shapes = input_shapes(program)
    return [[axis for axis in axes if isinstance(shape[axis], int)] for axes, shape in zip(free, shapes, strict=True)]


def input_shapes(program: torch.export.ExportedProgram) -> list[tuple[Any, ...]]:
    """Lengths of each input that is a tensor; a symbol where it is free."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    users = [nodes.get(str(name)) for name in program.graph_signature.user_inputs]
    return [tuple(node.meta["val"].shape) for node in users if node is not None and hasattr(node.meta["val"], "shape")]


def export_failed(cause: BaseException) -> EdgekitError:
    """Torch's reason in one line."""
    if isinstance(cause, EdgekitError):
        return cause
    return JobFailed(
        "torch-export-failed",
        f"torch cannot export the model: {next(iter(str(cause).strip().splitlines()), type(cause).__name__)}",
        hint="Choose another --route.",
    )
