"""Converters and routes as Rich renderables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from edgekit.routing import HopFacts, RouteFacts, Routes

#: What the figures in the column are.
_COST = "Cost: relative time to convert a small model, process start included; routes are tried by it."


def routes_view(result: Routes) -> RenderableType:
    """The conversion graph, or the routes of a model."""
    from rich.console import Group

    return Group(*(_graph(result) if result.model is None else _model(result)))


def _graph(result: Routes) -> Iterator[RenderableType]:
    table = _table("Converters", "Cost", "Backend", "Needs", "Known limits")
    for start in dict.fromkeys(hop.source for hop in result.hops):
        following = [hop for hop in result.hops if hop.source == start]
        table.add_row(_plain(start))
        for hop in following:
            line = f"{'└─' if hop is following[-1] else '├─'} {hop.destination}"
            table.add_row(_plain(line), f"{hop.cost:g}", hop.backend or "any", _needs(hop), _plain(hop.limits))
    yield table
    yield _plain("A route goes on from what a converter makes: keras@jax, onnx, openvino.", "dim")
    yield _plain(_COST, "dim")
    yield from _commands({hop.name: hop.install for hop in result.hops})


def _model(result: Routes) -> Iterator[RenderableType]:
    yield _plain(str(result.model), "bold")
    for target in result.targets:
        table = _table(f"To {target}", "Cost", "Here", "Known limits")
        for route in result.routes:
            if route.target == target:
                table.add_row(_plain(route.route), f"{route.cost:g}", _here(route), _plain("; ".join(route.limits)))
        yield table
    yield _plain("Routes are tried from top to bottom until the result of one runs and agrees with the model.")
    yield _plain(_COST, "dim")
    ready = {route.target for route in result.routes if route.install is None}
    for target in result.targets:
        if target not in ready:
            yield _plain(f"No route to {target} can be tried here: install what one of them needs.", "yellow")
    yield from _commands({route.route: route.install for route in result.routes})


def _here(route: RouteFacts) -> Text:
    return _plain("ready", "green") if route.install is None else _plain("not installed", "yellow")


def _needs(hop: HopFacts) -> Text:
    from rich.text import Text

    found = [_plain(f"no {module}", "yellow") if module in hop.missing else _plain(module) for module in hop.needs]
    return Text(", ").join(found)


def _commands(installs: dict[str, str | None]) -> Iterator[Text]:
    """The commands that add what is missing, each once, with the names of what it adds."""
    names: dict[str, list[str]] = {}
    for name, install in installs.items():
        if install is not None:
            names.setdefault(install, []).append(name)
    for install, added in names.items():
        yield _plain(f"To add {', '.join(added)}:\n  {install}")


def _table(*header: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if name == "Cost" else "left", no_wrap=index == 0, overflow="fold")
    return table


def _plain(line: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(line, style=style)
