"""`edgekit.compare`: is one artifact, or what was timed earlier, slower than another?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.devices import Device, opened_devices
from edgekit.devices.on_runtime import on_runtimes
from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Comparison
from edgekit.files import write_text, writing
from edgekit.latency.bench import artifact_row, candidates_of, in_turns
from edgekit.latency.comparison import check_limit, compare_rows, compare_turns
from edgekit.latency.measured import BenchSettings, Candidate, Scenario
from edgekit.latency.turns import OPENING_S, Turns, take_turns
from edgekit.latency.validity import NOT_CONVERGED
from edgekit.progress import SILENT, Reporter
from edgekit.report.comparison import comparison_markdown
from edgekit.results import CompareResult, holds
from edgekit.selection import Selected
from edgekit.sides import CompareOptions, Matched, Side, matched, side_of
from edgekit.timed_inputs import described, extent, inputs_for, timed_batch
from edgekit.types import Blob, Evidence, Origin, Verdict, worst
from edgekit.workbench import Workbench, workbench


@dataclass(frozen=True, slots=True)
class _Found:
    """Comparisons with the timings of both sides."""

    comparisons: list[Comparison]
    base: list[BenchRow]
    new: list[BenchRow]
    evidence: Evidence


def compare(
    base: str | Path,
    new: str | Path,
    *,
    data: str | Path | None = None,
    labels: str | None = None,
    target: str | Sequence[str] = (),
    precision: str | Sequence[str] = (),
    runtime: str | Sequence[str] = (),
    device: str | None = None,
    allow_fallback: bool = False,
    threads: int | None = None,
    cpus: str | None = None,
    batch: int | None = None,
    inputs: Sequence[str] = (),
    zero_copy: bool = False,
    scenario: Scenario | None = None,
    max_seconds: float | None = None,
    max_regression: float | None = None,
    strict: bool = False,
    output: str | Path | None = None,
    reporter: Reporter = SILENT,
) -> CompareResult:
    """Compare the speed of artifacts: in turns where both can run now, else with what was timed earlier.

    Args:
        base, new: kits, artifacts, files, or stored results (``.json``) of ``edgekit bench`` and ``edgekit run``.
            Artifacts of several are compared with those of the same target and precision; two single ones with each
            other, whatever they are. Stored results of several devices or accelerators are compared one by one.
        data, labels, target, precision, runtime, device, allow_fallback, threads, cpus, batch, inputs, zero_copy,
            scenario, max_seconds, max_regression: see `CompareOptions`.
        strict: count ``weak`` as a failure.
        output: ``.md`` file for a summary, such as for a pull request.
        reporter: receives progress.

    Returns:
        One comparison per artifact. ``ok`` is false when a regression beyond ``max_regression`` was shown, or an
        artifact could not be timed.

    Raises:
        UsageError: nothing to compare, no samples to run, or bad options.
        MissingError: the device cannot be reached, or the engine of an artifact is not installed.
    """
    check_limit(max_regression)
    options = CompareOptions(
        data=data,
        labels=labels,
        target=(target,) if isinstance(target, str) else tuple(target),
        precision=(precision,) if isinstance(precision, str) else tuple(precision),
        runtime=(runtime,) if isinstance(runtime, str) else tuple(runtime),
        device=device,
        allow_fallback=allow_fallback,
        threads=threads,
        cpus=cpus,
        batch=batch,
        sizes=tuple(inputs),
        scenario=scenario,
        max_seconds=max_seconds,
        max_regression=max_regression,
        copy=not zero_copy,
    )
    _check_output(output)
    sides = (side_of(base, options), side_of(new, options))
    stored = [row for side in sides for row in side.rows]
    options = options if not stored or all(side.rows for side in sides) else options.as_in(stored)
    found = _compared(*sides, options, reporter)
    verdict = _verdict(found)
    result = CompareResult(
        ok=holds(verdict, strict=strict),
        verdict=verdict,
        evidence=found.evidence,
        base=str(base),
        new=str(new),
        comparisons=tuple(found.comparisons),
        base_results=tuple(found.base),
        new_results=tuple(found.new),
        output=None if output is None else str(output),
    )
    if output is not None:
        with writing(Path(output)):
            write_text(Path(output), comparison_markdown(result))
    return result


def _compared(base: Side, new: Side, options: CompareOptions, reporter: Reporter) -> _Found:
    match = matched(base, new)
    if base.rows and new.rows:
        rows = [(base.rows[its], new.rows[mine]) for its, mine in match.pairs]
        assert new.evidence is not None
        found = _found(rows, match, new.evidence, options)
        named = [replace(one, name=name) for one, name in zip(found.comparisons, match.names, strict=False)]
        return replace(found, comparisons=[*named, *found.comparisons[len(named) :]])
    with _live(options, reporter) as live:
        if base.made and new.made:
            return _in_turns([(base.made[its], new.made[mine]) for its, mine in match.pairs], match, live)
        now = base if base.made else new
        chosen = [now.made[its if now is base else mine] for its, mine in match.pairs]
        timed, evidence = _timed(chosen, live) if chosen else ((), Evidence("generated", 0, ()))
        rows = [
            (row, new.rows[mine]) if now is base else (base.rows[its], row)
            for row, (its, mine) in zip(timed, match.pairs, strict=True)
        ]
        return _found(rows, match, evidence, options)


def _found(
    rows: Sequence[tuple[BenchRow, BenchRow]], match: Matched, evidence: Evidence, options: CompareOptions
) -> _Found:
    compared = [compare_rows(row, earlier, max_regression=options.max_regression) for earlier, row in rows]
    return _Found([*compared, *match.lonely], [one for one, _ in rows], [one for _, one in rows], evidence)


@dataclass(frozen=True, slots=True)
class _Live:
    """Where artifacts are timed now.

    Attributes:
        device: the device.
        places: the device with each runtime that is asked for.
    """

    options: CompareOptions
    work: Workbench
    device: Device
    places: tuple[Device, ...]

    def place(self, one: Selected) -> Device:
        return next((place for place in self.places if place.serves(one.runtime)), self.device)

    def candidates(self, chosen: Sequence[Selected], inputs: Sequence[Mapping[str, Blob]]) -> list[Candidate]:
        return [
            candidate
            for one, given in zip(chosen, inputs, strict=True)
            for candidate in candidates_of([one], [given], self.work, self.place(one))
        ]

    def settings(self, chosen: Sequence[Selected]) -> BenchSettings:
        """With the batch that was asked for.

        Raises:
            UsageError: none of the artifacts takes it.
        """
        return replace(self.options.settings, batch=timed_batch(chosen, self.options.batch, self.options.sizes))

    def inputs(self, chosen: Sequence[Selected]) -> tuple[list[dict[str, Blob]], Origin]:
        options = self.options
        return inputs_for(chosen, options.data, options.labels, self.work, options.sizes)


@contextmanager
def _live(options: CompareOptions, reporter: Reporter) -> Iterator[_Live]:
    threads = None if "threads=" in (options.device or "") else options.threads  # a stored result has both
    with (
        opened_devices(options.device or "local", threads=threads, cpus=options.cpus) as devices,
        workbench(reporter) as work,
    ):
        places = on_runtimes(devices, options.runtime, allow_fallback=options.allow_fallback)
        yield _Live(options, work, devices[0], places)


def _timed(chosen: Sequence[Selected], live: _Live) -> tuple[tuple[BenchRow, ...], Evidence]:
    known = described(chosen, live.work)
    settings = live.settings(known)
    inputs, origin = live.inputs(known)
    measured = in_turns(live.candidates(known, inputs), settings, live.work, live.device)
    rows = tuple(artifact_row(one, timed, live.place(one)) for one, timed in zip(known, measured, strict=True))
    return rows, Evidence(origin, *extent(inputs, live.work))


def _in_turns(pairs: Sequence[tuple[Selected, Selected]], match: Matched, live: _Live) -> _Found:
    found = _Found([], [], [], Evidence("generated", 0, ()))
    work, limit = live.work, live.options.max_regression
    given: list[Mapping[str, Blob]] = []
    origins: set[Origin] = set()
    for raw in pairs:
        pair = described(raw, work)
        settings = replace(live.settings(pair), min_seconds=OPENING_S)
        inputs, origin = _shared(pair, live)
        given, origins = [*given, *inputs], {*origins, origin}
        base, new = live.candidates(pair, inputs)
        with work.reporter.task(f"{new.name} and {base.name} in turns on {live.device.name}") as update:
            turns = take_turns(
                base, new, work.executor, live.device.context(), settings, max_regression=limit, on_progress=update
            )
        rows = _rows(pair, turns, live)
        found.base.append(rows[0])
        found.new.append(rows[1])
        found.comparisons.append(compare_turns(turns, rows[1], rows[0], max_regression=limit))
    found.comparisons.extend(match.lonely)
    if not given:
        return found
    return replace(found, evidence=Evidence("real" if origins == {"real"} else "generated", *extent(given, work)))


def _shared(pair: Sequence[Selected], live: _Live) -> tuple[list[dict[str, Blob]], Origin]:
    """Inputs of both; a file outside a kit takes those of the other's kit."""
    kept = [one for one in pair if one.kit is not None]
    if live.options.data is not None or len(kept) != 1:
        return live.inputs(pair)
    (inputs,), origin = live.inputs(kept)
    return [inputs, inputs], origin


def _rows(pair: Sequence[Selected], turns: Turns, live: _Live) -> tuple[BenchRow, BenchRow]:
    """Both as rows; how wide the interval of each p50 alone is does not matter here."""
    base, new = (
        artifact_row(one, replace(timed, converged=True), live.place(one))
        for one, timed in zip(pair, (turns.base, turns.new), strict=True)
    )
    if turns.together:  # what one process of both held, and how fast the second opened, is true of neither
        base, new = (replace(row, peak_rss_mb=None, load_ms=None, first_ms=None) for row in (base, new))
    return base, new


def _verdict(found: _Found) -> Verdict:
    """A regression is a failure; what cannot be compared, or was timed on a busy machine, is weak."""
    verdicts: list[Verdict] = ["verified"]
    verdicts += ["failed" for one in found.comparisons if one.regression]
    verdicts += ["weak" for one in found.comparisons if one.answer == "not comparable"]
    for row in (*found.base, *found.new):
        doubts = [reason for reason in row.reasons if not reason.startswith(NOT_CONVERGED)]
        verdicts += [row.verdict] if row.verdict == "error" or (row.verdict == "weak" and doubts) else []
    return worst(verdicts)


def _check_output(output: str | Path | None) -> None:
    if output is None:
        return
    if Path(output).suffix != ".md":
        raise UsageError(
            "unknown-report-format",
            "the summary of a comparison is Markdown.",
            received=str(output),
            hint="Give a file that ends in .md, such as -o summary.md; --json prints all of it.",
        )
    if not Path(output).absolute().parent.is_dir():
        raise UsageError(
            "no-such-folder",
            "the folder of the summary does not exist.",
            received=str(output),
            hint=f"mkdir -p {Path(output).parent}",
        )
