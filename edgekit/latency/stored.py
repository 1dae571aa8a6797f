"""Timings of an earlier day: read from results, and held against those of now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import InternalError, UsageError
from edgekit.figures import BenchRow, Comparison
from edgekit.jobs.codec import from_json
from edgekit.latency.comparison import compare_rows
from edgekit.results import BenchResult, RunResult

#: Results that hold timings, by their schema.
_KINDS: dict[str, type[BenchResult] | type[RunResult]] = {kind.schema: kind for kind in (BenchResult, RunResult)}


def read_result(path: str | Path) -> BenchResult | RunResult:
    """A stored result of ``edgekit bench`` or ``edgekit run``.

    Raises:
        UsageError: it is no such result, or one of another version of edgekit.
    """
    hint = "Write one with: edgekit bench KIT --json > result.json"
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise UsageError("bad-result", "this is no result file.", received=str(path), hint=hint) from err
    schema = document.pop("schema", None) if isinstance(document, dict) else None
    if schema not in _KINDS:
        wanted = f"a result with timings holds {' or '.join(_KINDS)}."
        raise UsageError("bad-result", wanted, received=f"{path}: {schema or 'no schema'}", hint=hint)
    try:
        return from_json(_KINDS[schema], document)
    except InternalError as err:
        raise UsageError("bad-result", f"{path}: {err.message}", received=err.received, hint=hint) from err


def read_timings(path: str | Path) -> tuple[BenchRow, ...]:
    """Timings in a stored result; see `read_result`."""
    return timings_of(read_result(path))


def timings_of(result: BenchResult | RunResult) -> tuple[BenchRow, ...]:
    return result.latency if isinstance(result, RunResult) else result.results


def compared(
    rows: Sequence[BenchRow], baseline: Sequence[BenchRow], max_regression: float | None
) -> tuple[Comparison, ...]:
    """Each row against the baseline's row of the same model, target and precision; on the same device where it has one.

    A row without such a partner is not comparable, and says so: silence would read as "no regression".
    """
    before = [_before(row, baseline) for row in rows]
    return tuple(
        compare_rows(row, old, max_regression=max_regression)
        if old is not None
        else alone(row.artifact, row.name, f"the baseline holds no {row.name} of this model, only {_listed(baseline)}.")
        for row, old in zip(rows, before, strict=True)
    )


def _before(row: BenchRow, baseline: Sequence[BenchRow]) -> BenchRow | None:
    """What a row is held against: of its device, and there of its runtime, where the baseline has several."""
    same = [old for old in baseline if _identity(old) == _identity(row)]
    return max(same, key=lambda old: (old.device == row.device, old.runtime == row.runtime), default=None)


def alone(artifact: str, name: str, reason: str, *, baseline: str = "") -> Comparison:
    """What has nothing to be compared with."""
    return Comparison(artifact, baseline, None, None, "not comparable", False, (reason,), name)


def _identity(row: BenchRow) -> tuple[str | None, ...]:
    """What makes two timings the same thing at different times: the model's file name, target and precision."""
    return Path(row.source).name if row.source else None, row.name


def _listed(rows: Sequence[BenchRow]) -> str:
    return (
        ", ".join(f"{row.name} of {Path(row.source).name if row.source else row.artifact}" for row in rows) or "nothing"
    )
