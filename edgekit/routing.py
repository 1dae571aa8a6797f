"""`edgekit.routes`: the conversion graph, and the routes of one model with what each still needs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgekit.exporter.attempts import in_order, lacking
from edgekit.exporter.graph import HOPS, TARGETS, HopRow, Route, check_target
from edgekit.exporter.graph import routes as routes_between
from edgekit.exporter.source import open_source
from edgekit.registry import install_command
from edgekit.results import Result


@dataclass(frozen=True, slots=True)
class HopFacts:
    """One converter.

    Attributes:
        name: ``keras@jax>onnx``.
        source, destination: representations it leads from and to.
        backend: Keras backend of the process that it runs in; None for any.
        cost: expected seconds, and how far it is kept behind other hops.
        needs: modules that it imports.
        missing: those of them that are not installed here.
        install: the command that adds them; None when nothing is missing.
        limits: what it is known not to convert; empty for nothing known.
    """

    name: str
    source: str
    destination: str
    backend: str | None
    cost: float
    needs: tuple[str, ...]
    missing: tuple[str, ...]
    install: str | None
    limits: str


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One way to a target.

    Attributes:
        target: artifact format.
        route: its name, for ``edgekit export --route``.
        hops: names of its converters in order.
        cost: sum over its hops.
        missing: extras to install before it can be tried and its result run here.
        install: the command that installs them; None when it can be tried.
        limits: of its hops.
    """

    target: str
    route: str
    hops: tuple[str, ...]
    cost: float
    missing: tuple[str, ...]
    install: str | None
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Routes(Result):
    """What `edgekit.routes` returns.

    Attributes:
        ok: whether a route to each target that was named can be tried here; for ``all``, to any target. Always true
            without a model.
        model: as it was given; None where the graph was asked for.
        targets: artifact formats, in order.
        hops: every converter on the way to the targets.
        routes: of the model, by target and in the order they are tried; empty without a model.
    """

    schema: ClassVar[str] = "edgekit.routes/1"
    exit_code: ClassVar[int] = 3
    ok: bool
    model: str | None
    targets: tuple[str, ...]
    hops: tuple[HopFacts, ...]
    routes: tuple[RouteFacts, ...]


def routes(model: str | Path | None = None, target: str | Sequence[str] = "all") -> Routes:
    """List converters, and for a model its routes in the order that `edgekit.export` tries them. Nothing is loaded.

    Args:
        model: a model file, or code whose imports say what it returns; None for the graph alone.
        target: ``onnx``, ``openvino``, ``tflite``, several of them, or ``all``.

    Raises:
        UsageError: an unknown target.
        ModelError: a model that edgekit does not take.

    Example:
        >>> [found.route for found in edgekit.routes("model.keras", "onnx").routes]
        ['keras@jax>onnx', 'keras@torch>onnx']
    """
    asked = (target,) if isinstance(target, str) else tuple(target)
    targets = TARGETS if "all" in asked else tuple(dict.fromkeys(asked))
    for name in targets:
        check_target(name)
    kind = None if model is None else open_source(model).likely_kind
    hops = _leading_to(targets)
    if kind is None:
        return Routes(True, None, targets, tuple(map(_hop, hops)), ())
    found = [_route(name, way) for name in targets for way in in_order(name, routes_between(kind, name))]
    ready = {facts.target for facts in found if facts.install is None}
    ok = bool(ready) if "all" in asked else ready == set(targets)
    used = {name for facts in found for name in facts.hops}
    return Routes(ok, str(model), targets, tuple(_hop(hop) for hop in hops if hop.name in used), tuple(found))


def _leading_to(targets: Sequence[str]) -> tuple[HopRow, ...]:
    """Hops from which a target can be reached."""
    hops = tuple(HOPS)
    reached = set(targets)
    while more := {hop.source for hop in hops if hop.destination in reached} - reached:
        reached |= more
    return tuple(hop for hop in hops if hop.destination in reached)


def _hop(row: HopRow) -> HopFacts:
    missing = row.missing()
    return HopFacts(
        name=row.name,
        source=row.source,
        destination=row.destination,
        backend=row.backend,
        cost=row.cost,
        needs=row.needs,
        missing=missing,
        install=install_command(row.extra) if missing else None,
        limits=row.limits,
    )


def _route(target: str, route: Route) -> RouteFacts:
    missing = lacking(target, route)
    return RouteFacts(
        target=target,
        route=route.name,
        hops=tuple(hop.name for hop in route.hops),
        cost=route.cost,
        missing=missing,
        install=install_command(",".join(missing)) if missing else None,
        limits=tuple(dict.fromkeys(hop.limits for hop in route.hops if hop.limits)),
    )
