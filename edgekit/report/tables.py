"""The tables of a summary as plain text cells; each view only draws them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from edgekit.checked import CheckRow
from edgekit.exporter.reasons import split
from edgekit.figures import ArtifactResult, BenchRow, Profile
from edgekit.report import layers as layer_facts
from edgekit.report import profiles as profile_facts
from edgekit.report import stages as stage_facts
from edgekit.report import text
from edgekit.report.collect import Line, Summary, noise_shares
from edgekit.results import SensitivityRow

#: Columns that are often the same in all rows.
_SETTINGS = frozenset({"Runtime", "Device", "Threads", "Batch", "Scenario", "On", "Output"})


@dataclass(frozen=True, slots=True)
class Table:
    """Cells in rows.

    Attributes:
        header: one name per column; ``Verdict`` and ``Route`` are drawn in their own way.
        rows: as wide as the header.
        figures: columns from here on are right-aligned.
        common: what is the same in all rows and therefore in no column, such as ``Device: local``.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: int
    common: str = ""

    def trimmed(self, settings: Container[str] = ()) -> Table:
        """Without columns that say nothing in any row, and without settings that are the same in all rows."""
        columns = [{row[index] for row in self.rows} for index in range(len(self.header))]
        said = [index for index, values in enumerate(columns) if values - {"", text.NONE}]
        same = [index for index in said if self.header[index] in settings and len(columns[index]) == 1]
        kept = [index for index in said if index not in same]
        return Table(
            tuple(self.header[index] for index in kept),
            tuple(tuple(row[index] for index in kept) for row in self.rows),
            sum(index < self.figures for index in kept),
            ", ".join(f"{self.header[index]}: {self.rows[0][index]}" for index in same),
        )


def _table(header: Sequence[str], rows: Sequence[tuple[str, ...]], figures: int) -> Table:
    return Table(tuple(header), tuple(rows), figures).trimmed(_SETTINGS)


def artifacts(summary: Summary) -> Table:
    """One row per artifact: the verdict and the figures that a choice depends on."""
    header = ("Artifact", "Verdict", "Size", "SQNR", "Top-1", _metric(summary), "p50 ms", "Speed-up")
    return _table(header, [_artifact(line) for line in summary.lines], 2)


def _artifact(line: Line) -> tuple[str, ...]:
    accuracy, timing = line.accuracy, line.timing
    return (
        line.name,
        line.verdict,
        text.size(line.size_bytes),
        text.sqnr(line.worst_output),
        text.percent(line.agreement),
        text.metric(accuracy.metric, accuracy.value) if accuracy is not None else text.NONE,
        text.number(timing.latency_ms.p50) if timing is not None and timing.latency_ms is not None else text.NONE,
        text.times(line.pays[0].speedup) if line.pays else text.NONE,
    )


def _metric(summary: Summary) -> str:
    """Heading of the column of the task metric."""
    names = {line.accuracy.metric for line in summary.lines if line.accuracy is not None}
    return next(iter(names)).rpartition(":")[2].capitalize() if len(names) == 1 else "Metric"


def quantized(summary: Summary) -> Table:
    """One row per quantized artifact: what was saved, and what it cost."""
    header = ("Artifact", "Verdict", "Smaller", "SQNR", "Low-bit", _metric(summary), "Drop, 95 %", "Faster")
    rows = [_quantized(summary, line) for line in summary.lines if line.precision != "fp32"]
    return _table(header, rows, 2)


def _quantized(summary: Summary, line: Line) -> tuple[str, ...]:
    accuracy, quantization = line.accuracy, line.quantization
    return (
        line.name,
        line.verdict,
        text.times(summary.size_ratio(line)),
        text.sqnr(line.worst_output),
        text.percent(quantization.low_bit_macs, 0) if quantization is not None else text.NONE,
        text.metric_change(accuracy) if accuracy is not None else text.NONE,
        text.drop_interval(accuracy) if accuracy is not None else text.NONE,
        text.times(line.pays[0].speedup) if line.pays else text.NONE,
    )


def trials(line: Line) -> Table:
    """One row per recipe that was tried; empty where there was no choice."""
    found = line.quantization.trials if line.quantization is not None else ()
    name = line.accuracy.metric if line.accuracy is not None else ""
    rows = [
        (
            trial.recipe,
            trial.outcome,
            trial.reason,
            f"{trial.sqnr_db:.1f} dB" if trial.sqnr_db is not None else text.NONE,
            text.percent(trial.low_bit_macs, 0),
            text.metric(name, trial.metric),
            f"{trial.seconds:.1f} s",
        )
        for trial in found
    ]
    header = (
        "Recipe",
        "Outcome",
        "Reason",
        "SQNR",
        "Low-bit",
        name.rpartition(":")[2].capitalize() or "Metric",
        "Time",
    )
    return _table(header, rows, 3) if len(rows) > 1 else Table(header, (), 3)


def sensitivity(row: SensitivityRow, most: int | None = None) -> Table:
    """One row per operator, the most damaging first.

    Args:
        row: the ranking.
        most: rows; all by default.
    """
    drops = [layer.metric_drop for layer in row.layers if layer.metric_drop is not None]
    rows = [
        (
            layer.layer,
            layer.kind,
            "no change" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f} dB",
            text.percent(share),
            text.percent(layer.low_bit_macs),
            text.number(layer.metric_drop, 2) if drops else text.NONE,
        )
        for layer, share in zip(row.layers, noise_shares(row), strict=True)
    ]
    return _table(("Layer", "Kind", "SQNR", "Noise", "MACs", "Drop"), rows[:most], 2)


def timings(summary: Summary) -> Table:
    """One row per timing: the distribution."""
    header = (
        *("Artifact", "Verdict", "Runtime", "Device", "Threads", "Batch", "Streams"),
        *("p50 ms", "95 %", "p90 ms", "p99 ms", "Per second"),
    )
    rows = [_timing(row) for row in summary.timings]
    ran = {(row.target, row.runtime) for row in summary.timings if row.way is None}
    return _table(header, _without_runtime(rows) if _told_by_target(ran) else rows, 4)


def _told_by_target(ran: set[tuple[str, str]]) -> bool:
    """Whether each target ran on one runtime, so that its name says which."""
    return len(ran) == len({target for target, _ in ran})


def _without_runtime(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without the third cell."""
    return [(*row[:2], text.NONE, *row[3:]) for row in rows]


def _timing(row: BenchRow) -> tuple[str, ...]:
    latency = row.latency_ms
    return (
        row.name,
        row.verdict,
        row.runtime if row.way is None else text.NONE,
        row.device,
        str(row.threads or "auto"),
        str(row.batch),
        str(row.streams) if row.streams != 1 else text.NONE,
        text.number(latency.p50 if latency is not None else None),
        text.half_width(latency.p50, latency.ci95_p50) if latency is not None else text.NONE,
        text.number(latency.p90 if latency is not None else None),
        text.number(latency.p99 if latency is not None else None),
        text.rate(row.throughput_per_s),
    )


def gains(summary: Summary) -> Table:
    """One row per artifact and way to run its source: what deployment gains."""
    rows = [
        (gain.name, gain.over, gain.device, text.times(gain.speedup), text.interval(gain.ci95))
        for gain in summary.gains
    ]
    return _table(("Artifact", "Over", "Device", "Speed-up", "95 % interval"), rows, 3)


def openings(summary: Summary) -> Table:
    """One row per timing: start, memory, and what the engine really ran."""
    header = (
        "Artifact",
        "Runtime",
        "Ran in",
        "On",
        "Scenario",
        "Load ms",
        "Cached ms",
        "First ms",
        "Memory",
        "Openings",
        "Runs",
    )
    return _table(header, [_opening(row) for row in summary.timings], 5)


def _opening(row: BenchRow) -> tuple[str, ...]:
    effective = row.effective
    return (
        row.name,
        row.runtime,
        text.reading(effective.precision if effective is not None else None),
        text.reading(effective.placement if effective is not None else None),
        row.scenario,
        text.number(row.load_ms),
        text.number(row.load_cached_ms),
        text.number(row.first_ms),
        f"{row.peak_rss_mb:.0f} MiB" if row.peak_rss_mb is not None else text.NONE,
        str(row.openings),
        f"{row.samples:,}",
    )


def profiled_layers(found: Profile) -> Table:
    """One row per layer of the source, or several that were fused; empty where each has one operator."""
    rows = [
        (profile_facts.joined(one.layers), str(one.operators), text.duration(one.ms), text.percent(one.share))
        for one in found.layers
    ]
    return _table(("Layer", "Operators", "Time", "Share"), rows if profile_facts.several(found) else [], 1)


def profile(found: Profile, most: int | None = None) -> Table:
    """One row per operator, those that take the most time first.

    Args:
        found: with at least one operator.
        most: rows; all by default.
    """
    named = "Layer" if found.layers_of == "source" else "Operator"
    rows = [
        (
            profile_facts.layers(one),
            one.kind,
            one.precision or text.NONE,
            one.placement or text.NONE,
            profile_facts.time(one, found),
            text.percent(one.share),
        )
        for one in found.operators[:most]
    ]
    return _table((named, "Kind", "Ran in", "On", "Time", "Share"), rows, 4)


def checks(summary: Summary) -> Table:
    """One row per output of each check."""
    header = (
        "Artifact",
        "Verdict",
        "Runtime",
        "Device",
        "Output",
        "Culprit",
        "Max abs",
        "Bound",
        "SQNR",
        "Top-1",
        _metric(summary),
    )
    rows = [row for line in summary.lines for check in line.checks for row in _check(check)]
    ran = {(check.target, check.runtime) for line in summary.lines for check in line.checks}
    return _table(header, _without_runtime(rows) if _told_by_target(ran) else rows, 6)


def _check(check: CheckRow) -> list[tuple[str, ...]]:
    name = f"{check.target} {check.precision}"
    head = (name, check.verdict, check.runtime, check.device)
    found = check.accuracy
    accuracy = text.metric(found.metric, found.value) if found is not None else text.NONE
    if not check.outputs:
        return [(*head, text.NONE, layer_facts.stage(check) or text.NONE, *[text.NONE] * 4, accuracy)]
    return [
        (
            *head,
            output.name,
            layer_facts.stage(check) or text.NONE,
            text.number(output.max_abs, 2),
            text.number(output.tolerance, 2),
            text.sqnr(output),
            text.percent(output.top1_agreement),
            accuracy,
        )
        for output in check.outputs
    ]


def stages(summary: Summary) -> Table:
    """One row per stage of each check: beside what it was given, and beside the source."""
    header = ("Artifact", "Stage", "Verdict", "First to break", "SQNR", "Max abs", "From the source", "Max abs")
    rows = [
        (
            layer_facts.name(check),
            stage_facts.name(stage),
            stage.verdict,
            "yes" if place == stage_facts.first_broken(check) else text.NONE,
            stage_facts.sqnr(stage),
            text.number(stage.against_parent.max_abs if stage.against_parent is not None else None, 2),
            text.sqnr(stage.against_source),
            text.number(stage.against_source.max_abs if stage.against_source is not None else None, 2),
        )
        for check in stage_facts.compared(summary)
        for place, stage in enumerate(check.stages)
    ]
    return _table(header, rows, 4)


def layers(check: CheckRow, most: int | None = None) -> Table:
    """One row per layer, in the order of execution.

    Args:
        check: with layers.
        most: rows; all by default.
    """
    places = range(len(check.layers)) if most is None else layer_facts.shown(check, most)
    named = any(layer.operator not in (None, layer.layer) for layer in check.layers)
    rows = [
        (
            str(place + 1),
            layer.layer,
            layer.kind,
            (layer.operator if named else None) or text.NONE,
            layer_facts.holds(check, place),
            text.sqnr(layer),
            text.number(layer.max_abs, 2),
            text.number(layer.tolerance, 2),
            text.NONE if layer.added_db is None else f"{layer.added_db:.1f} dB",
        )
        for place, layer in ((place, check.layers[place]) for place in places)
    ]
    return _table(("#", "Layer", "Kind", "Operator", "Holds", "SQNR", "Max abs", "Bound", "Added"), rows, 5)


def attempts(summary: Summary) -> Table:
    """One row per route that was tried."""
    rows = [
        (line.name, attempt.route, attempt.outcome, f"{attempt.seconds:.1f} s", attempt.reason)
        for line in summary.lines
        if line.made is not None
        for attempt in line.made.attempts
    ]
    return _table(("Artifact", "Route", "Outcome", "Time", "Reason"), rows, 5)


def unmade(row: ArtifactResult) -> Table:
    """Why none of the routes made an artifact: one row per failure, with the routes that met it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for attempt in row.attempts:
        found.setdefault((attempt.outcome, *split(attempt.reason)), []).append(attempt.route)
    rows = [("\n".join(routes), *failure) for failure, routes in found.items()]
    return _table(("Route", "Outcome", "At fault", "Reason"), rows, 4)


def comparisons(summary: Summary) -> Table:
    """One row per comparison with the stored baseline."""
    rows = [
        (row.artifact, row.answer, " ".join(row.reasons), text.number(row.ratio), text.interval(row.ci95))
        for row in summary.comparisons
    ]
    return _table(("Artifact", "Answer", "Note", "Ratio of p50", "95 % interval"), rows, 3)
