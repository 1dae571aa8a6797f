"""How the checks of a kit went over time: its results are kept, one file each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from edgekit.checked import CheckRow
from edgekit.errors import InternalError
from edgekit.jobs.codec import from_json
from edgekit.kit import Kit
from edgekit.report import text
from edgekit.results import CheckResult, RunResult
from edgekit.types import Evidence, Verdict

#: Results that hold checks, by the head of their file names.
_KINDS: dict[str, type[CheckResult] | type[RunResult]] = {"check": CheckResult, "run": RunResult}


@dataclass(frozen=True, slots=True)
class Moment:
    """One check of a series.

    Attributes:
        at: UTC, ISO 8601.
        sqnr_db: of the worst output; None when all are equal, or the artifact did not run.
        equal: whether all are equal.
        sha256: of the artifact.
    """

    at: str
    sqnr_db: float | None
    equal: bool
    verdict: Verdict
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Trend:
    """Checks of one artifact on one device and on as many samples of one kind: others cannot be compared.

    Attributes:
        moments: the oldest first, two or more.
    """

    target: str
    precision: str
    device: str
    evidence: str
    moments: tuple[Moment, ...]

    @property
    def name(self) -> str:
        return f"{self.target} {self.precision}" + ("" if self.device == "local" else f" on {self.device}")

    @property
    def sentence(self) -> str:
        """How often, since when, and how it moved."""
        first, last = self.moments[0], self.moments[-1]
        count = text.count(len(self.moments), "check")
        moved = _decibel(last) if _decibel(first) == _decibel(last) else f"{_decibel(first)} → {_decibel(last)}"
        since = f"{count} on {self.evidence} since {text.moment(first.at)}"
        bad = sum(one.verdict in ("failed", "error") for one in self.moments)
        failed = f", {bad} failed" if bad else ""
        made = sum(one.sha256 != other.sha256 for one, other in zip(self.moments, self.moments[1:], strict=False))
        again = f", made again {'once' if made == 1 else f'{made} times'}" if made else ""
        return f"{moved}; {since}{failed}{again}."


def history_of(kit: Kit) -> tuple[Trend, ...]:
    """Series of two checks or more, in the order in which they began."""
    found: dict[tuple[str, str, str, str], list[Moment]] = {}
    for at, row, evidence in _rows(kit):
        key = row.target, row.precision, row.device, text.count(evidence.samples, f"{evidence.inputs} sample")
        noisy = [output.sqnr_db for output in row.outputs if output.sqnr_db is not None]
        equal = bool(row.outputs) and all(output.max_abs == 0 for output in row.outputs)
        moment = Moment(at, min(noisy, default=None), equal, row.verdict, row.sha256)
        found.setdefault(key, []).append(moment)
    return tuple(Trend(*key, tuple(moments)) for key, moments in found.items() if len(moments) > 1)


def _rows(kit: Kit) -> Iterator[tuple[str, CheckRow, Evidence]]:
    """Every stored check with its time; files that somebody has removed or changed are left out."""
    for name in kit.manifest.results:
        kind, _, stamp = name.removesuffix(".json").partition("-")
        if kind not in _KINDS:
            continue
        with suppress(OSError, ValueError, InternalError):
            at = datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).isoformat()
            data = json.loads((kit.folder / "results" / name).read_text(encoding="utf-8"))
            del data["schema"]
            result = from_json(_KINDS[kind], data)
            for row in result.checks if isinstance(result, RunResult) else result.results:
                yield at, row, row.evidence or result.evidence


def _decibel(moment: Moment) -> str:
    if moment.sqnr_db is None:
        return "equal" if moment.equal else "no figure"
    return f"{moment.sqnr_db:.1f} dB"
