"""Learn the order in which routes are tried from the records of the coverage benchmark.

    python benchmarks/coverage_order.py RECORDS... [--write]

A route that takes ``t`` seconds and succeeds with probability ``p`` is worth trying before another when ``t / p`` is
less. So the cost of a hop is its seconds divided by the share of tries that got through it. Records tell about whole
routes; seconds of hops are a least-squares fit to those of routes (each brought to a model of middle size by median
polish), shares are those that make the outcomes likeliest when a route fails at its first hop that fails.

Without ``--write`` it prints the table and how often the first route is accepted for families that were left out when
the order was learned; with it, it writes ``edgekit/exporter/costs.py``, which the conversion graph reads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.coverage_cells import Record, Store
from benchmarks.coverage_routes import Trial, trials
from benchmarks.measuring import table
from edgekit.errors import UsageError
from edgekit.exporter.costs import SECONDS
from edgekit.exporter.graph import HOPS, HopRow, Route, routes

#: What is written.
COSTS = Path(__file__).resolve().parents[1] / "edgekit" / "exporter" / "costs.py"

#: Tries that a share starts from, half of them good: one failure condemns no hop.
PRIOR = 2.0

#: Rounds of the two iterations: the medians settle at once, the shares slowly.
POLISHES, ROUNDS = 10, 300

#: Seconds that no hop is under: the order of two hops that cost nothing is by name anyway.
LEAST_S = 0.1

TEXT = '''"""What each hop costs, learned by ``benchmarks/coverage_order.py RECORDS... --write``; not to be edited.

Seconds of a hop on a model of middle size, process start included, divided by the share of tries that it got through.
"""

from __future__ import annotations

#: When, and on how many cells (a model, where it starts, a target) of how many families of models.
LEARNED = "{date}"
CELLS = {cells}
FAMILIES = {families}

#: By name of the hop. A hop that no record tells about has the cost that its row in the graph gives it.
SECONDS: dict[str, float] = {{
{rows}
}}
'''


@dataclass(frozen=True, slots=True)
class Learned:
    """What the records say about one hop.

    Attributes:
        seconds: of one try on a model of middle size.
        share: of tries that got through.
        tries: of routes that it is on.
    """

    seconds: float
    share: float
    tries: int

    @property
    def cost(self) -> float:
        return round(max(self.seconds, LEAST_S) / self.share, 1)


def main() -> int:
    """Print, or write, what the records say. Returns 0."""
    parser = argparse.ArgumentParser(description="The order of routes, learned from the coverage benchmark.")
    parser.add_argument("records", nargs="+", type=Path, help="files of records; of two with one key the later counts")
    parser.add_argument("--write", action="store_true", help="write edgekit/exporter/costs.py")
    options = parser.parse_args()
    merged = {record["key"]: record for path in options.records for record in Store(path).records}
    records = list(merged.values())
    learned = learn(records)
    print(_learned_table(learned))
    print(validation(records))
    if options.write:
        COSTS.write_text(_module(records, learned))
    return 0


def learn(records: Iterable[Record]) -> dict[str, Learned]:
    """Seconds and share of every hop that the records tell about, by name."""
    records = list(records)
    known = _known_routes()
    found = [trial for trial in trials(records) if trial.route in known]
    shares, seconds = _shares(found, known), _seconds(_whole(records, found), known)
    tries = {name: sum(name in known[trial.route] for trial in found) for name in shares}
    return {name: Learned(seconds[name], shares[name], tries[name]) for name in sorted(shares) if name in seconds}


def validation(records: Sequence[Record]) -> str:
    """Share of cells whose first route is accepted: by the order in use, and by one learned on the other families."""
    found = trials(records)
    learned = {
        family: {name: hop.cost for name, hop in learn(r for r in records if r["family"] != family).items()}
        for family in {trial.family for trial in found}
    }
    in_use, left_out = first_accepted(found, lambda _: SECONDS), first_accepted(found, learned.__getitem__)
    rows = []
    for cells in sorted({cell for cell, _, _ in in_use}):
        counts = [[good for cell, _, good in each if cell == cells] for each in (in_use, left_out)]
        rows.append((*cells, str(len(counts[0])), *(f"{sum(goods) / len(goods):.0%}" for goods in counts)))
    goods = [[good for _, _, good in each] for each in (in_use, left_out)]
    rows.append(("**all**", "", str(len(goods[0])), *(f"**{sum(each) / max(1, len(each)):.1%}**" for each in goods)))
    return table(("Source", "Target", "Cells that a route reaches", "Order in use", "Learned without the family"), rows)


def first_accepted(
    found: Iterable[Trial], costs: Callable[[str], Mapping[str, float]]
) -> list[tuple[tuple[str, str], str, bool]]:
    """Start and target, model, and whether its first route was accepted, of every cell that any route reaches.

    A cell knows only the routes that were tried: of those, the first in the order of the costs counts.

    Args:
        found: the trials.
        costs: of hops by name, for a family of models.
    """
    cells: dict[tuple[str, str, str, str], dict[str, bool]] = {}
    for trial in found:
        cells.setdefault((trial.start, trial.target, trial.model, trial.family), {})[trial.route] = trial.accepted
    answers = []
    for (start, target, model, family), tried in sorted(cells.items()):
        first = next((name for name in _ordered(start, target, costs(family)) if name in tried), None)
        if first is not None and any(tried.values()):
            answers.append(((start, target), model, tried[first]))
    return answers


def _ordered(start: str, target: str, costs: Mapping[str, float]) -> list[str]:
    """Names of the routes in the order that costs of hops give."""
    unknown = median(costs.values()) if costs else 0.0

    def cost(hop: HopRow) -> float:
        own = unknown if hop.name in SECONDS else hop.cost - hop.behind
        return costs.get(hop.name, own) + hop.behind

    found = _routes(start, target)
    return [route.name for route in sorted(found, key=lambda route: (sum(map(cost, route.hops)), route.name))]


def _routes(start: str, target: str) -> tuple[Route, ...]:
    kind, _, backend = start.partition("@")
    try:
        return routes(kind, target, backend=backend or "auto")
    except UsageError:
        return ()


def _known_routes() -> dict[str, tuple[str, ...]]:
    """Names of the hops of every route there is."""
    kinds = {hop.source.partition("@")[0] for hop in HOPS}
    found = (route for kind in kinds for target in ("onnx", "openvino", "tflite") for route in _routes(kind, target))
    return {route.name: tuple(hop.name for hop in route.hops) for route in found}


def _whole(records: Iterable[Record], found: Iterable[Trial]) -> list[Trial]:
    """Good trials whose seconds are those of every hop: the first of a command; later ones may share hops."""
    first = {
        (record["model"], record["start"], record["target"], attempt["route"])
        for record in records
        for attempt in record.get("attempts", ())[:1]
    }
    return [trial for trial in found if trial.accepted and (*trial.cell, trial.route) in first]


def _seconds(found: list[Trial], known: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Seconds of hops: non-negative least squares on those of routes; the first one has what all begin with."""
    from scipy.optimize import nnls  # type: ignore[import-untyped]  # scipy carries no types

    by_route = _polished(found)
    hops = sorted({hop for route in by_route for hop in known[route]})
    counts = np.array([np.sqrt(sum(trial.route == route for trial in found)) for route in by_route])
    matrix = np.array([[hop in known[route] for hop in hops] for route in by_route], float)
    solved, _ = nnls(matrix * counts[:, None], np.array(list(by_route.values())) * counts)
    return dict(zip(hops, map(float, solved), strict=True))


def _polished(found: list[Trial]) -> dict[str, float]:
    """Seconds by route on a model of middle size: routes were not all tried on the same models."""
    models = dict.fromkeys({trial.model for trial in found}, 0.0)
    by_route = dict.fromkeys(sorted({trial.route for trial in found}), 0.0)
    for _ in range(POLISHES):
        for route in by_route:
            mine = [np.log(trial.seconds) - models[trial.model] for trial in found if trial.route == route]
            by_route[route] = float(np.median(mine))
        for model in models:
            rest = [np.log(trial.seconds) - by_route[trial.route] for trial in found if trial.model == model]
            models[model] = float(np.median(rest))
    return {route: float(np.exp(value + np.median(list(models.values())))) for route, value in by_route.items()}


def _shares(found: list[Trial], known: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Share of tries that get through each hop, by expectation maximisation over where a failed route failed."""
    counted: dict[str, list[int]] = {}
    for trial in found:
        counted.setdefault(trial.route, [0, 0])[trial.accepted] += 1
    shares = {hop: 0.9 for route in counted for hop in known[route]}
    for _ in range(ROUNDS):
        through, tried = dict.fromkeys(shares, PRIOR / 2), dict.fromkeys(shares, PRIOR)
        for route, (bad, good) in counted.items():
            passed = np.cumprod([1.0, *(shares[hop] for hop in known[route])])
            for hop, (before, after) in zip(known[route], pairwise(passed), strict=True):
                reached = (before - passed[-1]) / (1 - passed[-1])  # of the failures, those that came this far
                held = (after - passed[-1]) / (1 - passed[-1])
                tried[hop] += good + bad * reached
                through[hop] += good + bad * held
        shares = {hop: float(through[hop] / tried[hop]) for hop in shares}
    return shares


def _learned_table(learned: Mapping[str, Learned]) -> str:
    rows = [
        (f"`{name}`", f"{hop.seconds:.1f}", f"{hop.share:.0%}", str(hop.tries), f"{hop.cost:.1f}", _now(name))
        for name, hop in learned.items()
    ]
    return table(("Hop", "Seconds", "Got through", "Tries", "Cost", "Cost in use"), rows) + "\n"


def _now(name: str) -> str:
    return f"{HOPS[name].cost - HOPS[name].behind:.1f}"


def _module(records: Sequence[Record], learned: Mapping[str, Learned]) -> str:
    found = trials(records)
    rows = "\n".join(f'    "{name}": {hop.cost},' for name, hop in learned.items())
    cells, families = {trial.cell for trial in found}, {trial.family for trial in found}
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return TEXT.format(date=date, cells=len(cells), families=len(families), rows=rows)


if __name__ == "__main__":
    sys.exit(main())
