"""The conversion graph: representations are nodes, converters ("hops") are edges.

A hop is one file with a ``convert`` function and one row here. Every pair of source and target gains from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgekit.errors import UsageError
from edgekit.exporter.costs import SECONDS
from edgekit.exporter.loading import Loading
from edgekit.jobs.process import Context
from edgekit.registry import Registry, Row
from edgekit.types import Signature

#: The artifact formats that edgekit makes.
TARGETS = ("onnx", "openvino", "tflite")

#: Cost of a hop that nobody has measured.
UNKNOWN = 5.0

#: Behind every way that does not need such a hop.
FAR = 100.0


@dataclass(frozen=True, slots=True)
class HopRequest:
    """What a hop converts.

    Attributes:
        model: entry file of the representation it starts from; companions lie beside it.
        signature: of the source: names and order of inputs and outputs that the result must have, and shapes
            with free dimensions as None.
        folder: where to write the result.
        opset: ONNX operator set asked for, or None for the hop's default.
        loading: how to load the source, for a hop that starts from it.
    """

    model: Path
    signature: Signature
    folder: Path
    opset: int | None
    loading: Loading = field(default_factory=Loading)


class Convert(Protocol):
    """The function of a hop: writes the next representation into ``request.folder``, returns its entry file."""

    def __call__(self, request: HopRequest) -> Path: ...


@dataclass(frozen=True)
class HopRow(Row):
    """A hop, described without importing it.

    Attributes:
        source, destination: representations it leads from and to.
        backend: Keras backend of the process that it must run in, or None for any.
        cost: expected seconds to get a small model through, process start included, and `behind`; routes are tried
            by cost.
        limits: what it is known not to convert, in one sentence.
        fixed_sizes: it refuses an input with a free dimension besides the batch.
        behind: part of the cost that is no time: how far its routes are kept behind those that give a better file.
    """

    source: str = ""
    destination: str = ""
    backend: str | None = None
    cost: float = 1.0
    limits: str = ""
    fixed_sizes: bool = False
    behind: float = 0.0


def conversion_context(backend: str | None, code: Mapping[str, str] | None = None) -> Context:
    """The worker context of a framework, or of plain converters. Conversion never touches an accelerator.

    Args:
        backend: ``jax``, ``torch``, ``tensorflow`` or ``openvino``; Keras runs on it too.
        code: variables by which the process finds the user's code.
    """
    env = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", **(code or {})}
    if backend is None:
        return Context("plain", env)
    return Context(f"keras@{backend}", {**env, "KERAS_BACKEND": backend})


def _hop(
    name: str,
    extra: str,
    needs: tuple[str, ...],
    limits: str = "",
    backend: str | None = None,
    *,
    fixed_sizes: bool = False,
    cost: float = UNKNOWN,
    behind: float = 0.0,
) -> HopRow:
    """A row of this package; `cost` is for a hop that is not in the learned table."""
    source, _, destination = name.partition(">")
    module = name.replace("@", "_").replace(".", "_").replace(">", "_to_")
    return HopRow(
        name,
        f"edgekit.exporter.hops.{module}:convert",
        extra,
        needs,
        source,
        destination,
        backend,
        SECONDS.get(name, cost) + behind,
        limits,
        fixed_sizes,
        behind,
    )


HOPS = Registry[HopRow](
    "hop",
    "edgekit.hops",
    (
        _hop(
            "keras@jax>onnx",
            "keras,jax,export-onnx",
            ("keras", "jax", "onnx", "jax2onnx", "onnxruntime"),
            backend="jax",
        ),
        _hop(
            "keras@torch>onnx",
            "keras,torch,export-onnx",
            ("keras", "torch", "onnx", "onnxscript", "onnxruntime"),
            "needs fixed sizes besides the batch",
            backend="torch",
            fixed_sizes=True,
        ),
        # Behind, since transpositions stay around convolutions: such artifacts run up to twice as long.
        _hop("keras@openvino>openvino", "keras,export-openvino", ("keras", "openvino"), backend="openvino", behind=10),
        _hop(
            "keras@jax>stablehlo",
            "keras,jax",
            ("keras", "jax"),
            "fixes the batch to 1, needs fixed sizes, at most 128 steps of a recurrent layer",
            backend="jax",
            fixed_sizes=True,
        ),
        _hop(
            "keras@torch>tflite",
            "keras,torch,export-tflite-torch",
            ("keras", "torch", "litert_torch"),
            "fixes the batch to 1, needs fixed sizes",
            backend="torch",
            fixed_sizes=True,
        ),
        _hop("onnx>openvino", "export-openvino", ("openvino",)),
        _hop("stablehlo>tflite", "export-tflite", ("litert_converter",)),
        # TensorFlow, which nothing needs, stays behind every other way.
        _hop(
            "keras@tensorflow>saved_model",
            "keras,tensorflow",
            ("keras", "tensorflow"),
            "at most 128 steps of a recurrent layer, no spaces in names of inputs",
            backend="tensorflow",
            cost=4,
            behind=FAR,
        ),
        _hop("saved_model>openvino", "export-openvino", ("openvino",), cost=0.5),
        _hop("saved_model>tflite", "tensorflow", ("tensorflow",), backend="tensorflow", cost=2),
        # Torch: a module is traced once for all targets.
        _hop("torch.nn>torch.export", "torch", ("torch",), "no branches that depend on data", backend="torch"),
        _hop(
            "torch.export>onnx",
            "torch,export-onnx",
            ("torch", "onnx", "onnxscript", "onnxruntime"),
            backend="torch",
        ),
        _hop(
            "torch.export>openvino",
            "torch,export-openvino",
            ("torch", "openvino"),
            "at most 32 steps of a recurrent layer",
            backend="torch",
        ),
        _hop(
            "torch.export>tflite",
            "torch,export-tflite-torch",
            ("torch", "litert_torch"),
            "fixes the batch to 1, needs fixed sizes, at most 128 steps of a recurrent layer",
            backend="torch",
            fixed_sizes=True,
        ),
        # JAX.
        _hop("jax>onnx", "jax,export-onnx", ("jax", "onnx", "jax2onnx", "onnxruntime"), backend="jax"),
        _hop(
            "jax>stablehlo",
            "jax",
            ("jax",),
            "fixes the batch to 1, needs fixed sizes, at most 128 steps of a loop, no while loops",
            backend="jax",
            fixed_sizes=True,
        ),
        _hop(
            "jax.export>stablehlo",
            "jax",
            ("jax",),
            "fixes the batch to 1, needs fixed sizes, no loops in the file",
            backend="jax",
            fixed_sizes=True,
        ),
        # Deployment formats among themselves. A way through one, which may have fixed the batch, stays behind.
        _hop("onnx>onnx", "export-onnx", ("onnx", "onnxruntime")),
        _hop("openvino>openvino", "export-openvino", ("openvino",)),
        _hop("tflite>tflite", "tflite", ("ai_edge_litert",)),
        _hop(
            "tflite>openvino",
            "tflite,export-openvino",
            ("ai_edge_litert", "openvino"),
            "keeps a fixed batch",
            behind=FAR,
        ),
        _hop(
            "onnx>stablehlo",
            "jax,export-onnx",
            ("jax", "onnx"),
            "fixes the batch to 1, needs fixed sizes, at most 128 steps of a recurrent layer",
            backend="jax",
            fixed_sizes=True,
            behind=FAR,
        ),
        _hop(
            "openvino>onnx",
            "export-openvino,export-onnx",
            ("openvino", "onnx", "onnxruntime"),
            "no control flow and no non-maximum suppression",
            behind=FAR,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Route:
    """A path through the graph.

    Attributes:
        hops: in order.
    """

    hops: tuple[HopRow, ...]

    @property
    def name(self) -> str:
        return ">".join([self.hops[0].source, *(hop.destination for hop in self.hops)])

    @property
    def cost(self) -> float:
        return sum(hop.cost for hop in self.hops)

    def keeps(self, signature: Signature) -> bool:
        """Whether no hop is known to refuse the free dimensions of a signature."""
        free = any(None in spec.shape[1:] for spec in signature.inputs)
        return not (free and any(hop.fixed_sizes for hop in self.hops))

    def missing(self) -> tuple[str, ...]:
        """Extras to install before this route can be tried."""
        return tuple(dict.fromkeys(extra for hop in self.hops if hop.missing() for extra in hop.extra.split(",")))


def routes(kind: str, target: str, *, backend: str = "auto", route: str | None = None) -> tuple[Route, ...]:
    """Routes from a source kind to a target, cheapest first.

    Args:
        kind: source kind, such as ``keras``; its nodes are ``keras@jax``, ``keras@torch`` and so on.
        target: one of `TARGETS`.
        backend: only routes that start on this Keras backend; ``auto`` for all.
        route: only the route of this name.

    Raises:
        UsageError: the target is unknown, or nothing leads there.
    """
    check_target(target)
    hops = tuple(HOPS)
    starts = {hop.source for hop in hops if hop.source.partition("@")[0] == kind}
    if backend != "auto" and kind != "keras":
        raise UsageError(
            "backend-without-keras",
            f"--backend is for Keras models; this source is of the kind {kind}.",
            received=backend,
            hint="Leave out --backend.",
        )
    if backend != "auto":
        if f"{kind}@{backend}" not in starts:
            known = ", ".join(sorted(start.partition("@")[2] for start in starts))
            raise UsageError(
                "unknown-backend",
                f"no route starts on the backend {backend!r}.",
                received=backend,
                hint=f"Choose one of: auto, {known}.",
            )
        starts = {f"{kind}@{backend}"}
    found = sorted(
        (path for start in starts for path in _paths(hops, start, target)), key=lambda path: (path.cost, path.name)
    )
    chosen = tuple(path for path in found if route in (None, path.name))
    if not chosen:
        known = ", ".join(path.name for path in found) or "none"
        raise UsageError(
            "no-route",
            f"no route leads from {kind} to {target}.",
            received=route or backend,
            hint=f"Routes that do: {known}.",
        )
    return chosen


def check_target(target: str) -> None:
    """Refuse a target that edgekit does not make.

    Raises:
        UsageError: names those that it makes.
    """
    if target not in TARGETS:
        raise UsageError(
            "unknown-target",
            f"there is no target {target!r}.",
            received=target,
            hint=f"Choose one of: {', '.join(TARGETS)}, all.",
        )


def _paths(hops: tuple[HopRow, ...], start: str, target: str, seen: tuple[HopRow, ...] = ()) -> Iterator[Route]:
    """Every path without a circle."""
    if seen and start == target:
        yield Route(seen)
        return
    visited = {start, *(hop.source for hop in seen)}
    for hop in hops:
        # A hop from a format to itself cleans a file of the user's; it is no way to anywhere else.
        cleans = not seen and hop.source == hop.destination == target
        if hop.source == start and (cleans or hop.destination not in visited):
            yield from _paths(hops, hop.destination, target, (*seen, hop))
