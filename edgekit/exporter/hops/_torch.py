"""What the hops that trace with torch share: models as plain torch modules, tracing, ONNX of what was traced."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import ModelError
from edgekit.exporter.hops._onnx import name_outputs, opset_of, save
from edgekit.exporter.hops._shapes import traced
from edgekit.exporter.sources._torch_trace import Traceable, evaluated, export_failed, input_shapes, trace
from edgekit.exporter.sources.torch_ import load_program
from edgekit.types import Signature

if TYPE_CHECKING:
    import torch

    from edgekit.exporter.graph import HopRequest

#: Names of outputs while tracing: a layer called like an output would give one name to two values.
PLACEHOLDER = "edgekit_output_"

#: Operators that loop over time steps; their last flag says whether the batch comes first.
_RECURRENT = frozenset({"lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input"})


def named(loaded: Traceable, signature: Signature) -> torch.nn.Module:
    """A module that takes inputs as keyword arguments and returns outputs in a dictionary, by the signature's names."""
    import torch

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded.model  # registers the weights

        def forward(self, **tensors: Any) -> dict[str, Any]:
            outputs = loaded(*(tensors[spec.name] for spec in signature.inputs))
            return {spec.name: output for spec, output in zip(signature.outputs, outputs, strict=True)}

    return evaluated(Named())


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


def program_for(request: HopRequest) -> torch.export.ExportedProgram:
    """The program of a request, traced again where the signature fixes a length that the program leaves free.

    Raises:
        ModelError: the file cannot be used.
    """
    import torch

    loaded = load_program(request.model, replace(request.loading, pins={}))  # the pins are in the signature
    pairs = list(zip(request.signature.inputs, input_shapes(loaded.program), strict=True))
    if not any(
        want is not None and not isinstance(have, int)
        for spec, shape in pairs
        for want, have in zip(spec.shape, shape, strict=True)
    ):
        return loaded.program
    samples, free = [], []
    for spec, shape in pairs:
        lengths = list(zip(spec.shape, shape, strict=True))
        sizes = [have if isinstance(have, int) else want or have.node.hint for want, have in lengths]
        samples.append(torch.zeros(sizes, dtype=getattr(torch, spec.dtype)))
        free.append([axis for axis, (want, have) in enumerate(lengths) if want is None and not isinstance(have, int)])
    return trace(loaded, tuple(samples), free, strict=False)


def to_onnx(
    module: torch.nn.Module | torch.export.ExportedProgram,
    request: HopRequest,
    samples: tuple[Any, ...] = (),
    dynamic_shapes: Any = None,
) -> Path:
    """Write ``model.onnx`` by torch's exporter, with the names of the signature.

    Raises:
        JobFailed: torch cannot export the model, with torch's reason.
    """
    import torch

    inputs, outputs = request.signature.inputs, request.signature.outputs
    try:
        program = torch.onnx.export(
            module,
            samples,
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            opset_version=opset_of(request),
            input_names=[spec.name for spec in inputs],
            output_names=[f"{PLACEHOLDER}{index}" for index in range(len(outputs))],
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as err:
        raise export_failed(err.__cause__ or err) from err  # its own text is a page of general advice
    assert program is not None  # with dynamo there is always one
    model = program.model_proto
    name_outputs(model.graph, [spec.name for spec in outputs])
    _name_batch(model.graph)
    return save(model, request)


def fixed_batch(path: Path) -> int | None:
    """Length of the first axis of an ONNX model's first input; None where it is free."""
    import onnx

    first = onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim[0]
    return int(first.dim_value) if first.HasField("dim_value") else None


def _name_batch(graph: Any) -> None:
    """Call the free batch so: torch calls it by a number that says nothing."""
    symbol = next((value.type.tensor_type.shape.dim[0].dim_param for value in graph.input), "")
    if not symbol:
        return
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(rf"\b{re.escape(symbol)}\b", "batch", dim.dim_param)


def refuse_loops(program: torch.export.ExportedProgram, most_steps: int) -> None:
    """Refuse a program with recurrent layers that a converter would write out step by step, and never end.

    Raises:
        ModelError: a layer has too many steps, or a free number of them.
    """
    for node in program.graph.nodes:
        if node.op == "call_function" and str(node.target).partition(".")[2] in _RECURRENT:
            flags = [value for value in node.args if isinstance(value, bool)]  # has_biases, train, bidirectional, …
            steps = node.args[0].meta["val"].shape[1 if flags[-1] else 0]
            if not isinstance(steps, int) or steps > most_steps:
                raise ModelError(
                    "too-many-steps",
                    f"this converter writes recurrent layers out step by step, at most {most_steps} fixed steps.",
                    received=f"layer {node.name}",
                    hint="Fix the number of steps with --input, or choose another --route.",
                )
