"""One row per timing, check-only and made-only artifacts included: for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from edgekit.report.collect import Line, Summary
from edgekit.results import BenchRow

COLUMNS = (
    "kit", "source", "target", "precision", "verdict", "path", "sha256", "route", "size_bytes",
    "sqnr_db", "max_abs", "top1_agreement", "accuracy", "accuracy_drop",
    "runtime", "device", "threads", "batch", "scenario",
    "p50_ms", "p50_ci95_low_ms", "p50_ci95_high_ms", "p90_ms", "p99_ms", "throughput_per_s",
    "load_ms", "first_ms", "peak_rss_mb", "speedup", "speedup_ci95_low", "speedup_ci95_high", "pays",
    "measured_at", "reasons",
)  # fmt: skip


def to_csv(summaries: Sequence[Summary]) -> str:
    """Comma-separated values with a header; figures in full, an empty cell for what was not measured."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for summary in summaries:
        for line in summary.lines:
            writer.writerows(_rows(summary, line))
    return text.getvalue()


def _rows(summary: Summary, line: Line) -> Iterator[dict[str, object]]:
    output, accuracy, made = line.worst_output, line.accuracy, line.made
    about: dict[str, object] = {
        "kit": summary.kit,
        "source": summary.source.path if summary.source is not None else None,
        "target": line.target,
        "precision": line.precision,
        "verdict": line.verdict,
        "size_bytes": line.size_bytes,
        "sqnr_db": output.sqnr_db if output is not None else None,
        "max_abs": output.max_abs if output is not None else None,
        "top1_agreement": line.agreement,
        "accuracy": accuracy.value if accuracy is not None else None,
        "accuracy_drop": accuracy.drop if accuracy is not None else None,
        "reasons": " ".join(line.reasons),
    }
    if made is not None:
        about |= {"path": made.path, "sha256": made.sha256, "route": made.route}
    for row in line.timings or (None,):
        yield about | (_timing(line, row) if row is not None else {})


def _timing(line: Line, row: BenchRow) -> dict[str, object]:
    found: dict[str, object] = {
        "runtime": row.runtime,
        "device": row.device,
        "threads": row.threads,
        "batch": row.batch,
        "scenario": row.scenario,
        "throughput_per_s": row.throughput_per_s,
        "load_ms": row.load_ms,
        "first_ms": row.first_ms,
        "peak_rss_mb": row.peak_rss_mb,
        "measured_at": row.measured_at,
    }
    if row.latency_ms is not None:
        latency = row.latency_ms
        low, high = latency.ci95_p50 or (None, None)
        found |= {"p50_ms": latency.p50, "p50_ci95_low_ms": low, "p50_ci95_high_ms": high}
        found |= {"p90_ms": latency.p90, "p99_ms": latency.p99}
    for pays in line.pays:
        if pays.device == row.device:
            low_high = pays.ci95 or (None, None)
            found |= {"speedup": pays.speedup, "pays": pays.answer}
            found |= {"speedup_ci95_low": low_high[0], "speedup_ci95_high": low_high[1]}
    return found
