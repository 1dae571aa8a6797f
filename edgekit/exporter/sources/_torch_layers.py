"""What the modules of a torch model and the operators of a torch program compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.exporter.sources._recording import Recorder
from edgekit.exporter.sources.torch_signature import leaves


@contextmanager
def recorded(model: Any, recorder: Recorder) -> Iterator[None]:
    """Record every call of the modules inside a model, the inner ones first."""

    def watch(path: str) -> Any:
        def hook(module: Any, _: Any, made: Any) -> None:
            values = [leaf for _, leaf in leaves(made, "") if hasattr(leaf, "numpy")]
            recorder(path, type(module).__name__, (leaf.numpy(force=True) for leaf in values))

        return hook

    named = [(path, module) for path, module in model.named_modules() if path]
    hooks = [module.register_forward_hook(watch(path.replace(".", "/"))) for path, module in named]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def watched_program(model: Any, recorder: Recorder) -> Callable[..., Any]:
    """The module of an exported program, run operator by operator, each of which is recorded."""
    import torch

    class Watching(torch.fx.Interpreter):
        def run_node(self, node: Any) -> Any:
            made = super().run_node(node)
            if node.op == "call_function":
                values = made if isinstance(made, (tuple, list)) else (made,)
                found = [value.numpy(force=True) for value in values if isinstance(value, torch.Tensor)]
                recorder(_path(node), str(getattr(node.target, "_opname", node.target)), found)
            return made

    return lambda *args, **kwargs: Watching(model).run(*args, *kwargs.values())


def _path(node: Any) -> str:
    """Path of the innermost module that an operator was traced in, and the operator's own name."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    inner = str(stack[-1][0]).removeprefix("L['self'].").replace(".", "/") if stack else ""
    return f"{inner}/{node.name}" if inner and inner != "L['self']" else str(node.name)
