"""`edgekit.compare`: is one artifact, or what was timed earlier, slower than another?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.devices import Device, open_device
from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Comparison
from edgekit.files import write_text, writing
from edgekit.latency.bench import artifact_row, candidates_of, time_artifacts
from edgekit.latency.comparison import check_limit, compare_rows, compare_turns
from edgekit.latency.measured import BenchSettings, Scenario
from edgekit.latency.stored import alone, read_result, timings_of
from edgekit.latency.turns import OPENING_S, Turns, take_turns
from edgekit.latency.validity import NOT_CONVERGED
from edgekit.progress import SILENT, Reporter
from edgekit.report.comparison import comparison_markdown
from edgekit.results import CompareResult, holds
from edgekit.selection import Selected, select
from edgekit.timed_inputs import described, extent, inputs_for, timed_batch
from edgekit.types import Blob, Evidence, Origin, Verdict, worst
from edgekit.workbench import Workbench, workbench

#: Wall time for a pair of artifacts.
MAX_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How to compare; what is None is as in the stored result that takes part, or the default of `edgekit.bench`.

    Attributes:
        data, labels: samples to run, and the array in them that is no input.
        target, precision: only these artifacts.
        device, threads, batch, scenario: how to time.
        max_seconds: wall time for each pair that takes turns, or for each artifact beside a stored result; 20.
        max_regression: 0.05 accepts a p50 of up to 1.05 times the base's.
        copy: whether inferences copy their inputs and outputs, see `BenchSettings`.
    """

    data: str | Path | None = None
    labels: str | None = None
    target: tuple[str, ...] = ()
    precision: tuple[str, ...] = ()
    device: str | None = None
    threads: int | None = None
    batch: int | None = None
    scenario: Scenario | None = None
    max_seconds: float | None = None
    max_regression: float | None = None
    copy: bool = True

    @property
    def settings(self) -> BenchSettings:
        limit = MAX_SECONDS if self.max_seconds is None else self.max_seconds
        return BenchSettings(scenario=self.scenario or "latency", batch=self.batch, copy=self.copy, max_seconds=limit)

    def as_in(self, row: BenchRow) -> CompareOptions:
        """With the settings of a stored timing where none were given: it could not be compared otherwise."""
        scenario: Scenario = row.scenario  # type: ignore[assignment] # a stored string; `BenchSettings` refuses others
        return replace(
            self,
            device=self.device or row.device,
            threads=row.threads if self.threads is None and self.device is None else self.threads,
            batch=self.batch or row.batch,
            scenario=self.scenario or scenario,
            copy=row.input_copy != "nothing",
        )


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a comparison: artifacts, or timings of an earlier day."""

    path: str
    made: tuple[Selected, ...] = ()
    rows: tuple[BenchRow, ...] = ()
    evidence: Evidence | None = None

    @property
    def names(self) -> list[str]:
        return [one.artifact.name.strip() for one in self.made] or [row.name for row in self.rows]

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.made] or [row.artifact for row in self.rows]


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
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
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
            other, whatever they are.
        data, labels, target, precision, device, threads, batch, scenario, max_seconds, max_regression: see
            `CompareOptions`.
        strict: count ``weak`` as a failure.
        output: ``.md`` file for a summary, such as for a pull request.
        reporter: receives progress.

    Returns:
        One comparison per artifact. ``ok`` is false when a regression beyond ``max_regression`` was shown, or an
        artifact could not be timed.

    Raises:
        UsageError: nothing to compare, no samples to run, or bad options.
    """
    check_limit(max_regression)
    targets = (target,) if isinstance(target, str) else tuple(target)
    precisions = (precision,) if isinstance(precision, str) else tuple(precision)
    options = CompareOptions(
        data, labels, targets, precisions, device, threads, batch, scenario, max_seconds, max_regression
    )
    _check_output(output)
    sides = (_side(base, options), _side(new, options))
    stored = next((row for side in sides for row in side.rows), None)
    options = options if stored is None or all(side.rows for side in sides) else options.as_in(stored)
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


def partners(base: Sequence[str], new: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Which of two lists of names belong together: places in both, None where one side lacks it.

    Two single ones always do.

    Raises:
        UsageError: a side has a name twice.
    """
    if len(base) == len(new) == 1:
        return [(0, 0)]
    for names in (base, new):
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise UsageError(
                "several-artifacts",
                f"several of these are {double}, so that it is not clear which to compare.",
                received=", ".join(names),
                hint="Give one artifact, or a result of one kit.",
            )
    found: list[tuple[int | None, int | None]] = [
        (base.index(name) if name in base else None, place) for place, name in enumerate(new)
    ]
    return [*found, *((place, None) for place, name in enumerate(base) if name not in new)]


def _side(path: str | Path, options: CompareOptions) -> _Side:
    if Path(path).suffix != ".json":
        return _Side(str(path), select(path, options.target, options.precision))
    result = read_result(path)
    rows = tuple(
        row
        for row in timings_of(result)
        if _wanted(row.target, options.target) and _wanted(row.precision, options.precision)
    )
    if not rows:
        raise UsageError(
            "nothing-selected",
            "this result holds no such timing.",
            received=" ".join([str(path), *options.target, *options.precision]),
            hint="Choose other --target or --precision, or time it with edgekit bench.",
        )
    return _Side(str(path), rows=rows, evidence=result.evidence)


def _wanted(value: str, choice: Collection[str]) -> bool:
    return not choice or "all" in choice or value in choice


def _compared(base: _Side, new: _Side, options: CompareOptions, reporter: Reporter) -> _Found:
    places = partners(base.names, new.names)
    lonely = [
        alone(new.paths[mine], new.names[mine], f"{base.path} holds only {', '.join(base.names)}.")
        for its, mine in places
        if its is None and mine is not None
    ]
    lonely += [
        alone("", base.names[its], f"{new.path} holds only {', '.join(new.names)}.", baseline=base.paths[its])
        for its, mine in places
        if mine is None and its is not None
    ]
    pairs = [(its, mine) for its, mine in places if its is not None and mine is not None]
    if base.rows and new.rows:
        rows = [(base.rows[its], new.rows[mine]) for its, mine in pairs]
        assert new.evidence is not None
        return _found(rows, lonely, new.evidence, options)
    with workbench(reporter) as work:
        device = open_device(options.device or "local", threads=_threads(options))
        if base.made and new.made:
            return _in_turns([(base.made[its], new.made[mine]) for its, mine in pairs], lonely, options, work, device)
        live = base if base.made else new
        chosen = [live.made[its if live is base else mine] for its, mine in pairs]
        timed, evidence = _timed(chosen, options, work, device) if chosen else ((), Evidence("generated", 0, ()))
        rows = [
            (row, new.rows[mine]) if live is base else (base.rows[its], row)
            for row, (its, mine) in zip(timed, pairs, strict=True)
        ]
        return _found(rows, lonely, evidence, options)


def _threads(options: CompareOptions) -> int | None:
    """None where the device spec names them, which a stored result repeats."""
    return None if "threads=" in (options.device or "") else options.threads


def _found(
    rows: Sequence[tuple[BenchRow, BenchRow]], lonely: list[Comparison], evidence: Evidence, options: CompareOptions
) -> _Found:
    compared = [compare_rows(row, earlier, max_regression=options.max_regression) for earlier, row in rows]
    return _Found([*compared, *lonely], [one for one, _ in rows], [one for _, one in rows], evidence)


def _timed(
    chosen: Sequence[Selected], options: CompareOptions, work: Workbench, device: Device
) -> tuple[tuple[BenchRow, ...], Evidence]:
    known = described(chosen, work, device.context())
    timed_batch(known, options.batch, ())
    inputs, origin = inputs_for(known, options.data, options.labels, work)
    return time_artifacts(known, inputs, options.settings, work, device), Evidence(origin, *extent(inputs, work))


def _in_turns(
    pairs: Sequence[tuple[Selected, Selected]],
    lonely: list[Comparison],
    options: CompareOptions,
    work: Workbench,
    device: Device,
) -> _Found:
    found = _Found([], [], [], Evidence("generated", 0, ()))
    settings = replace(options.settings, min_seconds=OPENING_S)
    given: list[Mapping[str, Blob]] = []
    origins: set[Origin] = set()
    for raw in pairs:
        pair = described(raw, work, device.context())
        timed_batch(pair, options.batch, ())
        inputs, origin = _shared(pair, options, work)
        given, origins = [*given, *inputs], {*origins, origin}
        base, new = candidates_of(pair, inputs, work, device)
        with work.reporter.task(f"{new.name} and {base.name} in turns on {device.name}") as update:
            turns = take_turns(
                *(base, new, work.executor, device.context(), settings),
                max_regression=options.max_regression,
                on_progress=update,
            )
        rows = _rows(pair, turns, device)
        found.base.append(rows[0])
        found.new.append(rows[1])
        found.comparisons.append(compare_turns(turns, rows[1], rows[0], max_regression=options.max_regression))
    found.comparisons.extend(lonely)
    if not given:
        return found
    return replace(found, evidence=Evidence("real" if origins == {"real"} else "generated", *extent(given, work)))


def _shared(pair: Sequence[Selected], options: CompareOptions, work: Workbench) -> tuple[list[dict[str, Blob]], Origin]:
    """Inputs of both; a file outside a kit takes those of the other's kit."""
    kept = [one for one in pair if one.kit is not None]
    if options.data is not None or len(kept) != 1:
        return inputs_for(pair, options.data, options.labels, work)
    (inputs,), origin = inputs_for(kept, None, None, work)
    return [inputs, inputs], origin


def _rows(pair: Sequence[Selected], turns: Turns, device: Device) -> tuple[BenchRow, BenchRow]:
    """Both as rows; how wide the interval of each p50 alone is does not matter here."""
    base, new = (
        artifact_row(one, replace(timed, converged=True), device)
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
