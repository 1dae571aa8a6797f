"""How timings went over time, and what becomes of results that cannot be read any more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Latency
from edgekit.kit import Kit
from edgekit.report import html_stages
from edgekit.report.history import TimingTrend, history_of
from edgekit.report.kept import kept_results
from edgekit.report.markdown import to_markdown
from edgekit.report.render import report
from edgekit.results import BenchResult
from tests.report import samples
from tests.report.test_layers import shown
from tests.report.test_render import Page


def timed(p50: float | None, **changes: object) -> BenchRow:
    """A timing with an interval of 5 % to either side; None for one that failed."""
    row = samples.timing(samples.artifact("onnx", "fp32", 104_212, 131.2, 1.0), p50 or 1.0)
    if p50 is None:
        return replace(row, latency_ms=None, verdict="error", **changes)  # type: ignore[arg-type]  # of any field
    latency = Latency(p50, p50, None, p50, p50, (0.95 * p50, 1.05 * p50))
    return replace(row, latency_ms=latency, **changes)  # type: ignore[arg-type]  # of any field


def kit_with(folder: Path, *rows: BenchRow) -> Kit:
    """A kit with one result per timing, a minute apart."""
    kit = Kit.prepare(folder, samples.SOURCE, replace_source=False)
    for minute, row in enumerate(rows):
        stamped = replace(row, measured_at=f"2026-03-01T12:{minute:02}:00+00:00")
        kit.commit(result=BenchResult(True, row.verdict, samples.REAL, str(folder), (stamped,)))
    return kit


def timings_of(kit: Kit) -> tuple[TimingTrend, ...]:
    return history_of(kept_results(kit).results).timings


def test_the_history_of_a_timing(tmp_path: Path) -> None:
    rows = timed(2.0, sha256="a"), timed(2.1, sha256="a", verdict="weak"), timed(1.0, sha256="b")
    (trend,) = timings_of(kit_with(tmp_path / "kit", *rows))
    assert [one.p50_ms for one in trend.moments] == [2.0, 2.1, 1.0]
    assert trend.moments[-1].ci95_p50 == (0.95, 1.05)
    moved, since = trend.sentence.split("; ")
    assert moved == "2.00 ms (±5.0 %) → 1.00 ms (±5.0 %)"
    assert since == "3 timings since 2026-03-01 12:00 UTC, 1 weak, made again once."


def test_a_single_timing_is_no_history(tmp_path: Path) -> None:
    assert timings_of(kit_with(tmp_path / "kit", timed(2.0))) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 2},
        {"batch": 8},
        {"scenario": "throughput"},
        {"streams": 2},
        {"input_copy": "nothing"},
        {"device": "local?cpus=0"},
        {"environment": {"cpu": "another"}},
        {"runtime": "keras:jax", "way": "predict"},
        {"precision": "int8"},
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_another_series(changes: dict[str, object], tmp_path: Path) -> None:
    rows = timed(2.0), timed(9.0, **changes), timed(2.1), timed(9.1, **changes)
    usual, other = timings_of(kit_with(tmp_path / "kit", *rows))
    assert [one.p50_ms for one in usual.moments] == [2.0, 2.1]
    assert [one.p50_ms for one in other.moments] == [9.0, 9.1]
    assert usual.name != other.name or "environment" in changes


def test_a_curve_shows_intervals_and_marks_what_is_in_doubt(tmp_path: Path) -> None:
    rows = timed(2.0), timed(3.0, verdict="weak"), timed(None), timed(1.0)
    drawn = html_stages.times(timings_of(kit_with(tmp_path / "kit", *rows)))
    assert [drawn.count(f'class="point {kind}"') for kind in ("yes", "unsure", "no")] == [2, 1, 1]
    assert drawn.count('class="whisker"') == 3, "the one that failed has no interval"
    places = [float(part.partition('"')[0]) for part in drawn.split('cy="')[1:]]
    assert places[2] < places[1] < places[0] < places[3], "faster is lower"


def test_timings_that_hardly_differ_are_no_mountain(tmp_path: Path) -> None:
    rows = [replace(timed(p50), latency_ms=Latency(p50, p50, None, p50, p50, ())) for p50 in (1.0, 1.001)]
    drawn = html_stages.times(timings_of(kit_with(tmp_path / "kit", *rows)))
    first, last = (float(part.partition('"')[0]) for part in drawn.split('cy="')[1:])
    assert 0 < first - last < 2


def views(kit: Kit, folder: Path) -> tuple[str, ...]:
    """The kit's report in the terminal, as Markdown and as a page, as words with single spaces."""
    result = report(kit.folder, folder / "report.html")
    page = Page((folder / "report.html").read_text()).text
    return tuple(" ".join(view.split()) for view in (shown(result, 110), to_markdown(result.summaries), page))


def test_every_view_shows_the_history(tmp_path: Path) -> None:
    kit = kit_with(tmp_path / "kit", timed(2.0), timed(1.0))
    for view in views(kit, tmp_path):
        assert "History of timings" in view
        assert "2.00 ms (±5.0 %) → 1.00 ms (±5.0 %); 2 timings since 2026-03-01 12:00 UTC." in view


def make_older(kit: Kit, place: int) -> str:
    """Give a stored result the schema of another version of edgekit."""
    name = kit.manifest.results[place]
    path = kit.folder / "results" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": "edgekit.bench/0"}))
    return name


def test_results_of_an_older_schema_are_counted_and_named(tmp_path: Path) -> None:
    kit = kit_with(tmp_path / "kit", timed(2.0), timed(1.5), timed(1.0), timed(0.9))
    older, newest = make_older(kit, 0), make_older(kit, 3)
    gone = kit.manifest.results[1]
    (kit.folder / "results" / gone).unlink()
    told = (
        f"3 stored results cannot be read by this version of edgekit and are left out: "
        f"{older} (schema edgekit.bench/0), {gone} (gone), {newest} (schema edgekit.bench/0)."
    )
    assert report(kit.folder).summaries[0].notes[-1] == told
    for view in views(kit, tmp_path):
        assert told in view
    (stored,) = kept_results(kit).results
    assert stored.document.results[0].latency_ms.p50 == 1.0  # type: ignore[union-attr]  # a timing with figures


def test_a_kit_of_nothing_that_can_be_read_is_refused(tmp_path: Path) -> None:
    kit = kit_with(tmp_path / "kit", timed(2.0))
    name = make_older(kit, 0)
    with pytest.raises(UsageError, match=name) as error:
        report(kit.folder)
    assert error.value.code == "no-results"
