"""A torch module to a program of ``torch.export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.sources._torch_trace import program_of
from edgekit.exporter.sources.torch_ import load_module

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: What torch notes about each operator for debugging; traces of the stack have paths of this machine.
NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")


def convert(request: HopRequest) -> Path:
    """Write ``model.pt2``, inputs one by one and outputs as a tuple; free dimensions stay free.

    Raises:
        ModelError: torch cannot keep a dimension besides the batch free.
        JobFailed: torch cannot trace the model, with torch's reason.
    """
    import torch

    program = program_of(load_module(request.model, request.loading))
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for note in NOTES:
                node.meta.pop(note, None)
    path = request.folder / "model.pt2"
    torch.export.save(program, path)
    return path
