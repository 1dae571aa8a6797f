"""Everything as rows, for data frames.

One per timing, check-only and made-only artifacts included, one per ranked operator, and one per compared stage and
layer.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from edgekit.checked import CheckRow
from edgekit.figures import BenchRow, Pays
from edgekit.report import layers, stages, text
from edgekit.report.collect import Line, Summary, noise_shares
from edgekit.results import SensitivityRow
from edgekit.runtimes.placement import CPU

COLUMNS = (
    "kit", "source", "target", "precision", "verdict", "path", "sha256", "route", "size_bytes",
    "sqnr_db", "max_abs", "top1_agreement", "accuracy", "accuracy_drop",
    "runtime", "device", "threads", "batch", "scenario",
    "p50_ms", "p50_ci95_low_ms", "p50_ci95_high_ms", "p90_ms", "p99_ms", "throughput_per_s",
    "load_ms", "first_ms", "peak_rss_mb", "speedup", "speedup_ci95_low", "speedup_ci95_high", "pays",
    "measured_at", "reasons",
    "recipe", "low_bit_macs", "left_float", "size_ratio", "memory_ratio", "pays_reason",
    "metric", "source_accuracy", "drop_ci95_low", "drop_ci95_high",
    "layer", "layer_kind", "layer_sqnr_db", "layer_noise_share", "layer_macs", "layer_drop",
    "culprit", "reproduce",
    "layer_number", "layer_operator", "layer_tensor",
    "layer_max_abs", "layer_tolerance", "layer_added_db", "layer_holds",
    "stage", "stage_sqnr_db", "stage_max_abs", "stage_source_sqnr_db", "stage_source_max_abs", "stage_breaks_first",
    "way", "streams", "input_copy", "load_cached_ms",
)  # fmt: skip


def to_csv(summaries: Sequence[Summary]) -> str:
    """Comma-separated values with a header; figures in full, an empty cell for what was not measured."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for summary in summaries:
        for line in summary.lines:
            writer.writerows(_rows(summary, line))
        writer.writerows(_source(summary, timed) for timed in summary.sources)
        for row in summary.sensitivity:
            writer.writerows(_layers(summary, row))
        for check in stages.compared(summary):
            writer.writerows(_stages(summary, check))
        for check in layers.looked_at(summary):
            writer.writerows(_compared(summary, check))
    return stream.getvalue()


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
    blamed = next((check for check in line.checks if check.culprit is not None), None)
    if blamed is not None:
        about |= {
            "culprit": blamed.culprit,
            "reproduce": blamed.failing.command if blamed.failing is not None else None,
        }
    if accuracy is not None:
        low, high = accuracy.drop_ci95 or (None, None)
        about |= {"metric": accuracy.metric, "source_accuracy": accuracy.source_value}
        about |= {"drop_ci95_low": low, "drop_ci95_high": high}
    about |= _quantization(summary, line)
    if made is not None:
        about |= {"path": made.path, "sha256": made.sha256, "route": made.route}
    for row in line.timings or (None,):
        yield about | (_timing(line.pays, row) if row is not None else {})


def _source(summary: Summary, row: BenchRow) -> dict[str, object]:
    """The source, timed in its own framework."""
    return {
        "kit": summary.kit,
        "source": row.source,
        "target": row.target,
        "precision": row.precision,
        "verdict": row.verdict,
        "sha256": row.sha256,
        "size_bytes": row.size_bytes,
        "reasons": " ".join(row.reasons),
        "way": row.way,
        **_timing((), row),
    }


def _quantization(summary: Summary, line: Line) -> dict[str, object]:
    found, pays = line.quantization, next(iter(line.pays), None)
    about: dict[str, object] = {"size_ratio": summary.size_ratio(line)}
    if found is not None:
        about |= {"recipe": found.recipe, "low_bit_macs": found.low_bit_macs, "left_float": " ".join(found.left_float)}
    if pays is not None:
        about |= {"memory_ratio": pays.memory_ratio, "pays_reason": pays.likely_reason}
        about |= _pays(pays)
    return about


def _pays(pays: Pays) -> dict[str, object]:
    low, high = pays.ci95 or (None, None)
    return {"speedup": pays.speedup, "pays": pays.answer, "speedup_ci95_low": low, "speedup_ci95_high": high}


def _layers(summary: Summary, row: SensitivityRow) -> Iterator[dict[str, object]]:
    for layer, share in zip(row.layers, noise_shares(row), strict=True):
        yield {
            "kit": summary.kit,
            "target": row.target,
            "precision": row.precision,
            "verdict": row.verdict,
            "path": row.artifact,
            "recipe": row.recipe,
            "layer": layer.layer,
            "layer_kind": layer.kind,
            "layer_sqnr_db": layer.sqnr_db,
            "layer_noise_share": share,
            "layer_macs": layer.low_bit_macs,
            "layer_drop": layer.metric_drop,
        }


def _stages(summary: Summary, check: CheckRow) -> Iterator[dict[str, object]]:
    for place, stage in enumerate(check.stages):
        about: dict[str, object] = {
            "kit": summary.kit,
            "target": check.target,
            "precision": check.precision,
            "verdict": stage.verdict,
            "path": stage.artifact,
            "runtime": check.runtime,
            "device": check.device,
            "stage": stage.stage,
            "stage_breaks_first": place == stages.first_broken(check),
            "reasons": " ".join(stage.reasons),
        }
        for head, found in (("stage", stage.against_parent), ("stage_source", stage.against_source)):
            if found is not None:
                about |= {f"{head}_sqnr_db": found.sqnr_db, f"{head}_max_abs": found.max_abs}
        yield about


def _compared(summary: Summary, check: CheckRow) -> Iterator[dict[str, object]]:
    for index, layer in enumerate(check.layers):
        yield {
            "kit": summary.kit,
            "target": check.target,
            "precision": check.precision,
            "verdict": check.verdict,
            "path": check.artifact,
            "runtime": check.runtime,
            "device": check.device,
            "layer": layer.layer,
            "layer_kind": layer.kind,
            "layer_sqnr_db": layer.sqnr_db,
            "layer_number": index + 1,
            "layer_operator": layer.operator,
            "layer_tensor": layer.tensor,
            "layer_max_abs": layer.max_abs,
            "layer_tolerance": layer.tolerance,
            "layer_added_db": layer.added_db,
            "layer_holds": None if layers.holds(check, index) == text.NONE else layers.holds(check, index),
        }


def _timing(answers: Sequence[Pays], row: BenchRow) -> dict[str, object]:
    found: dict[str, object] = {
        "runtime": row.runtime,
        "device": row.device,
        "threads": row.threads,
        "batch": row.batch,
        "streams": row.streams,
        "input_copy": row.input_copy,
        "load_cached_ms": row.load_cached_ms,
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
    for pays in answers:
        if (pays.device, pays.accelerator) == (row.device, row.runtime.partition(":")[2] or CPU):
            found |= _pays(pays)
    return found
