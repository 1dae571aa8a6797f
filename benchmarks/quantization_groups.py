"""Records of the quantization benchmark by what they have in common: one cell of its tables, over all seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.coverage_cells import TARGETS
from benchmarks.quantization_cells import PRECISIONS
from benchmarks.quantization_models import ALL
from edgekit.parity.intervals import paired_drop

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """All seeds of one model, target, precision and way."""

    model: str
    target: str
    precision: str
    way: str
    records: tuple[Record, ...]

    @property
    def good(self) -> list[Record]:
        """Those whose file ran."""
        return [record for record in self.records if record.get("sqnr_db") is not None]

    @property
    def sqnr_db(self) -> float | None:
        return median(record["sqnr_db"] for record in self.good) if self.good else None

    @property
    def macs(self) -> float | None:
        """Share of multiply-accumulates in few bits."""
        shares = [record["macs"][0] / record["macs"][1] for record in self.good if record.get("macs", (0, 0))[1]]
        return median(shares) if shares else None

    @property
    def drop(self) -> tuple[float, float, float] | None:
        """Loss of accuracy, with its 95 % interval."""
        if not self.good:
            return None
        both, source, artifact, neither = (sum(record["table"][part] for record in self.good) for part in range(4))
        low, high = paired_drop(both, source, artifact, neither)
        return (source - artifact) / (both + source + artifact + neither), low, high

    @property
    def size_bytes(self) -> float | None:
        return median(record["size_bytes"] for record in self.good) if self.good else None


def cells(records: Iterable[Record]) -> list[Cell]:
    """Records of files by what they have in common, in the order of the tables."""
    groups: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in records:
        if "precision" in record:
            groups.setdefault((record["model"], record["target"], record["precision"], record["way"]), []).append(
                record
            )
    order = [*PRECISIONS, "fp32"]

    def place(cell: Cell) -> tuple[int, int, int, bool, str]:
        return (
            list(ALL).index(cell.model),
            TARGETS.index(cell.target),
            order.index(cell.precision),
            cell.way != "edgekit",
            cell.way,
        )

    return sorted((Cell(*key, tuple(found)) for key, found in groups.items()), key=place)
