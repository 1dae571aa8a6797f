"""What the records of the coverage benchmark say about routes: which work, and whether the first would have done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measuring import table

Record = dict[str, Any]

#: Share of cells whose first route should be accepted.
AIM = 0.85


@dataclass(frozen=True, slots=True)
class Trial:
    """One route, tried on one cell."""

    model: str
    family: str
    start: str
    target: str
    route: str
    outcome: str
    seconds: float

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.model, self.start, self.target

    @property
    def accepted(self) -> bool:
        return self.outcome == "accepted"


def trials(records: Iterable[Record]) -> list[Trial]:
    """Every attempt of the records; one that was forced counts before one on the way."""
    found: dict[tuple[str, str, str, str], Trial] = {}
    for record in sorted(records, key=lambda record: record["way"].startswith("route:")):
        for trial in _of(record):
            found[*trial.cell, trial.route] = trial
    return list(found.values())


def _of(record: Record) -> Iterator[Trial]:
    wrong = record["status"] == "wrong"
    for attempt in record.get("attempts", ()):
        if attempt["outcome"] != "missing":
            outcome = "wrong" if wrong and attempt["outcome"] == "accepted" else attempt["outcome"]
            cell = record["model"], record["family"], record["start"], record["target"]
            yield Trial(*cell, attempt["route"], outcome, attempt["seconds"])


def route_table(records: Sequence[Record]) -> str:
    """Tried, accepted and median seconds per route."""
    rows = []
    by_route: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials(records):
        by_route.setdefault((trial.target, trial.route), []).append(trial)
    for (target, route), found in sorted(by_route.items()):
        good = [trial.seconds for trial in found if trial.accepted]
        seconds = f"{median(good):.1f}" if good else "–"
        others = sorted({trial.outcome for trial in found if not trial.accepted})
        counted = ", ".join(f"{sum(trial.outcome == name for trial in found)} {name}" for name in others)
        rows.append((f"`{route}`", target, str(len(found)), str(len(good)), counted or "–", seconds))
    return table(("Route", "Target", "Tried", "Accepted", "Otherwise", "Median s"), rows) + "\n"


def first_routes(records: Sequence[Record]) -> str:
    """Share of cells whose first route is accepted, with the order learned on the other families."""
    found = trials(records)
    rows, hits, reachable = [], 0, 0
    for start, target in sorted({(trial.start, trial.target) for trial in found}):
        mine = [trial for trial in found if (trial.start, trial.target) == (start, target)]
        good, cells = _first(mine)
        hits, reachable = hits + good, reachable + cells
        rows.append((start, target, str(cells), str(good), _share(good, cells)))
    rows.append(("**all**", "", str(reachable), str(hits), f"**{_share(hits, reachable)}**"))
    for target in sorted({trial.target for trial in found}):
        keras = [trial for trial in found if trial.start.startswith("keras@") and trial.target == target]
        good, cells = _first(keras)
        rows.append(("Keras, any backend", target, str(cells), str(good), _share(good, cells)))
    if reachable and hits / reachable < AIM:
        rows.append((f"the aim is {AIM:.0%}", "", "", "", "missed"))
    return table(("Source", "Target", "Cells that a route reaches", "First accepted", "Share"), rows) + "\n"


def _first(found: list[Trial]) -> tuple[int, int]:
    """Cells whose first route is accepted, and cells that any route reaches."""
    hits = cells = 0
    for family in {trial.family for trial in found}:
        order = ranked(trial for trial in found if trial.family != family)
        for model in {trial.model for trial in found if trial.family == family}:
            tried = {trial.route: trial for trial in found if trial.model == model}
            if any(trial.accepted for trial in tried.values()):
                first = next((route for route in order if route in tried), min(tried))
                cells, hits = cells + 1, hits + tried[first].accepted
    return hits, cells


def ranked(found: Iterable[Trial]) -> list[str]:
    """Routes by how often they were accepted, then by their seconds."""
    by_route: dict[str, list[Trial]] = {}
    for trial in found:
        by_route.setdefault(trial.route, []).append(trial)

    def order(route: str) -> tuple[float, float]:
        tried = by_route[route]
        return -sum(trial.accepted for trial in tried) / len(tried), median(trial.seconds for trial in tried)

    return sorted(by_route, key=order)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"
