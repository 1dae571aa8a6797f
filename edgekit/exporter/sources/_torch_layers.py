"""What the modules of a torch model and the operators of a torch program compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.exporter.sources._recording import Recorder
from edgekit.exporter.sources.torch_signature import leaves

#: Functions that compute nothing: attributes of tensors and their conversion.
_ACCESS = ("get", "set", "numpy", "array", "detach", "size", "dim", "to", "cpu", "contiguous", "requires_grad")


@contextmanager
def recorded(model: Any, recorder: Recorder) -> Iterator[None]:
    """Record every call of the modules inside a model, the inner ones first, and of functions between them."""
    from torch.nn import Sequential
    from torch.overrides import TorchFunctionMode

    stack: list[tuple[str, bool]] = []  # modules that run, and whether they are torch's own: their insides stay hidden

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            name = func.__name__.strip("_")
            if stack and not any(own for _, own in stack) and name not in _ACCESS:
                path = stack[-1][0]
                recorder(f"{path}/{name}" if path else name, name, _arrays(made))
            return made

    def enter(path: str) -> Any:
        def hook(module: Any, _: Any) -> None:
            own = type(module).__module__.startswith("torch.nn") and not isinstance(module, Sequential)
            stack.append((path, own))

        return hook

    def leave(path: str) -> Any:
        def hook(module: Any, _: Any, made: Any) -> None:
            stack.pop()
            if path:
                recorder(path, type(module).__name__, _arrays(made))

        return hook

    hooks = []
    for name, module in model.named_modules():
        path = name.replace(".", "/")
        hooks += [module.register_forward_pre_hook(enter(path)), module.register_forward_hook(leave(path))]
    try:
        with Functions():
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _arrays(made: Any) -> Iterator[Any]:
    return (leaf.numpy(force=True) for _, leaf in leaves(made, "") if hasattr(leaf, "numpy"))


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
