"""Torch models: modules that a factory returns, and programs of ``torch.export``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.loading import TWIN_PARAMETERS, Loaded, Loading, Record
from edgekit.exporter.sources import torch_archive, torch_program
from edgekit.exporter.sources._flops import flops_of_torch, one_sample
from edgekit.exporter.sources._recording import Recorder
from edgekit.exporter.sources._torch_layers import recorded, watched_program
from edgekit.exporter.sources._twins import one_thread, torch_in_float64
from edgekit.exporter.sources._ways import ways_of_torch
from edgekit.exporter.sources.code import call_factory, example_inputs
from edgekit.exporter.sources.torch_probe import probe
from edgekit.exporter.sources.torch_session import TorchSession
from edgekit.exporter.sources.torch_signature import Call, arguments, dtype_of, input_specs, leaves
from edgekit.runtimes.base import Arrays, Session
from edgekit.types import Signature

#: What `Loaded.keep` writes for a module: its weights by name.
STATE = "source.state.pt"

#: And for a program.
PROGRAM = "source.pt2"


@dataclass(frozen=True)
class TorchModel(Loaded):
    """A loaded model.

    Attributes:
        kind: ``torch.nn`` or ``torch.export``.
        model: the ``torch.nn.Module``; a program's is made of its graph.
        signature: inputs and outputs by name, pinned sizes applied.
        framework: such as ``torch 2.13.0``.
        call: how inputs go into the arguments of ``forward``.
        samples: inputs to trace it with, two of a free batch.
        remarks: what the user should know.
        program: the ``torch.export.ExportedProgram`` that ``model`` is made of, or None.
        drawn: whether a factory made the weights, so that they differ from process to process.
    """

    kind: str
    model: Any
    signature: Signature
    framework: str
    call: Call
    samples: tuple[Any, ...] = ()
    remarks: tuple[str, ...] = ()
    program: Any = None
    drawn: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        return self.remarks

    @property
    def parameters(self) -> int:
        return sum(tensor.numel() for tensor in self._weights().values())

    def operators(self) -> Mapping[str, int]:
        """Innermost modules by class, or operators of a program's graph."""
        if self.program is not None:
            return torch_program.operators(self.program)
        kinds = (type(module).__name__ for module in self.model.modules() if not any(module.children()))
        return dict(Counter(kinds).most_common())

    def weight_dtypes(self) -> set[str]:
        return {dtype_of(tensor) for tensor in self._weights().values()}

    def flops(self) -> int | None:
        import torch

        shapes = one_sample(self.signature)
        if shapes is None:
            return None
        kinds = [getattr(torch, spec.dtype) for spec in self.signature.inputs]
        return flops_of_torch(self, [torch.zeros(shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True)])

    def open(self) -> TorchSession:
        return TorchSession(self.signature, self)

    def open_on(self, device: str) -> TorchSession:
        """A program on another device of torch: its weights, and the tensors that it makes itself."""
        from torch.export.passes import move_to_device_pass

        there = move_to_device_pass(self.program, device)
        return TorchSession(self.signature, replace(self, program=there, model=there.module()), device)

    def ways(self) -> Mapping[str, Callable[[], Session]]:
        return ways_of_torch(self)

    def twins(self) -> Mapping[str, Callable[[], Session]]:
        found: dict[str, Callable[[], Session]] = {"threads": lambda: TorchSession(self.signature, one_thread(self))}
        if self.parameters <= TWIN_PARAMETERS:
            wide = torch_in_float64(self.model, lambda model: replace(self, model=model))
            found["float64"] = lambda: TorchSession(self.signature, wide)
        return found

    def run_layers(self, inputs: Mapping[str, np.ndarray], record: Record) -> Arrays:
        """Every module inside a module, or every operator of a program."""
        recorder = Recorder(record, len(next(iter(inputs.values()))))
        if self.program is not None:
            return replace(self, model=watched_program(self.model, recorder)).open().run(inputs)
        with recorded(self.model, recorder):
            return self.open().run(inputs)

    def ids(self) -> Mapping[str, int]:
        """The embedding's length for an integer input that goes straight into one; if none does, the smallest's."""
        fed, smallest = torch_program.fed(self.program) if self.program is not None else self._fed()
        whole = [spec.name for spec in self.signature.inputs if np.dtype(spec.dtype).kind in "iu"]
        if smallest is None:
            return {}
        direct = {self.signature.inputs[index].name: length for index, length in fed.items()}
        return direct or dict.fromkeys(whole, smallest)

    def keep(self, folder: Path) -> Path | None:
        import torch

        if not self.drawn:
            return None
        if self.program is not None:
            torch.export.save(self.program, folder / PROGRAM)
            return folder / PROGRAM
        torch.save(_state(self.model), folder / STATE)
        return folder / STATE

    def __call__(self, *tensors: Any) -> tuple[Any, ...]:
        """Call the model: tensors in the signature's order, in and out."""
        return tuple(leaf for _, leaf in leaves(self._structure(tensors), "") if leaf is not None)

    def _structure(self, tensors: Sequence[Any]) -> Any:
        args, kwargs = self.call.filled(tensors)
        return self.model(*args, **kwargs)

    def _weights(self) -> dict[str, Any]:
        tensors = _state(self.model) if self.program is None else self.program.state_dict
        return {name: tensor for name, tensor in tensors.items() if tensor.dtype.is_floating_point}

    def _fed(self) -> tuple[dict[int, int], int | None]:
        """Lengths of embeddings by the place of the input that goes into them, and the smallest of all."""
        import torch

        tables = [module for module in self.model.modules() if isinstance(module, torch.nn.Embedding)]
        seen: list[tuple[int, int]] = []
        hooks = [
            table.register_forward_pre_hook(lambda table, args: seen.append((args[0].data_ptr(), table.num_embeddings)))
            for table in tables
        ]
        try:
            with torch.no_grad():
                self(*self.samples)
        finally:
            for hook in hooks:
                hook.remove()
        places = {sample.data_ptr(): index for index, sample in enumerate(self.samples)}
        fed: dict[int, int] = {}
        for place, length in seen:
            if place in places:
                fed[places[place]] = min(length, fed.get(places[place], length))
        return fed, min((table.num_embeddings for table in tables), default=None)


def load_module(path: Path | None, loading: Loading) -> TorchModel:
    """The module that a factory returns.

    Args:
        path: what `TorchModel.keep` wrote in another process, or None.
        loading: names the factory.

    Raises:
        ModelError: see `from_object`.
        UsageError: there is no such factory, or a pin does not fit.
    """
    return from_object(call_factory(loading), path, loading)


def load_program(path: Path | None, loading: Loading) -> TorchModel:
    """A ``.pt2`` file, or the program that a factory returns.

    Raises:
        ModelError: it is no such file, is damaged, would run code, or is a program that trains.
        UsageError: a pin does not fit.
    """
    if path is None or path.suffix != ".pt2":
        return from_object(call_factory(loading), None, loading)
    return _from_program(torch_archive.load(path, trust_code=loading.trust_code), loading, drawn=False)


def from_object(made: Any, path: Path | None, loading: Loading) -> TorchModel:
    """A module or program that a factory returned, with the weights in ``path`` where another process kept them.

    Raises:
        ModelError: nothing says what its inputs are, it does not run on them, or returns other things than tensors.
        UsageError: a pin does not fit.
    """
    import torch

    if isinstance(made, torch.export.ExportedProgram):
        if path is not None and path.suffix == ".pt2":
            made = torch_archive.load(path, trust_code=loading.trust_code)
        return _from_program(made, loading, drawn=True)
    if isinstance(made, torch.jit.ScriptModule):
        raise ModelError(
            "torchscript-module",
            "a TorchScript module cannot be traced again.",
            received=type(made).__name__,
            hint="Return the torch.nn.Module that it was made from.",
        )
    module = _submodule(made, loading.submodel).eval().cpu()
    call, examples = arguments(module, example_inputs(loading), loading.pins)

    def run(tensors: Sequence[Any]) -> Any:
        args, kwargs = call.filled(tensors)
        with torch.no_grad():
            return module(*args, **kwargs)

    found = probe(run, input_specs(examples, loading.pins), tuple(examples.values()))
    if path is not None and path.name == STATE:
        _restore(module, path)
    return TorchModel("torch.nn", module, found.signature, _framework(), call, found.samples, found.notes, drawn=True)


def _from_program(program: Any, loading: Loading, *, drawn: bool) -> TorchModel:
    torch_program.refuse_training(program)
    call, signature = torch_program.described(program, loading.pins)
    return TorchModel("torch.export", program.module(), signature, _framework(), call, program=program, drawn=drawn)


def _submodule(module: Any, name: str | None) -> Any:
    """The module of this name inside a module, with dots for one inside that.

    Raises:
        UsageError: there is none.
    """
    try:
        return module.get_submodule(name or "")
    except AttributeError as err:
        raise UsageError(
            "no-such-submodel",
            f"the module holds no module {name!r}.",
            received=f"--submodel {name}",
            hint=f"It holds: {', '.join(name for name, _ in module.named_children()) or 'no other modules'}.",
        ) from err


def _framework() -> str:
    import torch

    return f"torch {torch.__version__.partition('+')[0]}"


def _state(module: Any) -> dict[str, Any]:
    """Weights and statistics by name, those that a state dict leaves out too."""
    return {name: tensor.detach() for name, tensor in (*module.named_parameters(), *module.named_buffers())}


def _restore(module: Any, path: Path) -> None:
    """Put kept weights in place of those that the factory drew.

    Raises:
        ModelError: the factory returns another architecture each time.
    """
    import torch

    kept = torch.load(path, weights_only=True)
    state = _state(module)
    if {name: tensor.shape for name, tensor in kept.items()} != {name: tensor.shape for name, tensor in state.items()}:
        raise ModelError(
            "changing-factory",
            "the factory returns a module with other weights each time.",
            received=f"{len(kept)} tensors before, {len(state)} now",
            hint="Let it return the same architecture each time it is called.",
        )
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(kept[name])
