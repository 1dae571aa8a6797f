"""What people see of a source that was timed beside its artifacts."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.figures import BenchRow, Gain
from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit
from edgekit.report.collect import summarise
from edgekit.report.csv_ import to_csv
from edgekit.report.markdown import to_markdown
from edgekit.report.render import report
from edgekit.results import BenchResult
from edgekit.types import Artifact, Signature
from tests.report import samples
from tests.report.test_layers import shown
from tests.report.test_render import Page, store

HEADLINE = "tflite fp32 is 46.5 times as fast as keras:jax predict here (95 % interval 44.1 to 48.9)."


def source_row(way: str, p50: float, path: str = "models/digits.keras") -> BenchRow:
    made = replace(samples.artifact("onnx", "fp32", 400_000, 131.2, 1.0), path=path)
    row = samples.timing(made, p50, verdict="weak")
    reasons = (f"the source, {way}, was slow to settle.",)
    known = {"source": path, "source_sha256": samples.SOURCE.sha256, "sha256": samples.SOURCE.sha256}
    return replace(row, target="keras", runtime="keras:jax", way=way, threads=None, reasons=reasons, **known)  # type: ignore[arg-type]  # strings


def beside(*others: BenchRow) -> BenchResult:
    """Six artifacts and two ways to run the source."""
    rows = samples.run_result().latency
    sources = source_row("predict", 1.0), source_row("compiled", 0.1), *others
    gains = tuple(
        Gain(row.artifact, row.name, source.name, "local", ratio, (0.95 * ratio, 1.05 * ratio))
        for row in rows
        for source in sources
        if row.latency_ms is not None and source.latency_ms is not None
        for ratio in (source.latency_ms.p50 / row.latency_ms.p50,)
    )
    gains = tuple(replace(gain, ci95=(44.1, 48.9)) if gain.speedup > 46 else gain for gain in gains)
    return BenchResult(True, "weak", samples.REAL, "edgekit-out/digits", (*rows, *sources), gains=gains)


def views(tmp_path: Path) -> tuple[str, ...]:
    report([store(tmp_path / "bench.json", beside())], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text()).text
    return tuple(" ".join(view.split()) for view in (shown(beside(), 100), to_markdown(summarise([beside()])), page))


def test_every_view_says_what_deployment_gains(tmp_path: Path) -> None:
    for view in views(tmp_path):
        assert view.count("What deployment gains") == 1
        assert view.count(HEADLINE) == 1
        assert "46.5×" in view
        assert "the source, compiled, was slow to settle." in view, "reasons of sources are told"


@pytest.mark.parametrize("width", [80, 100])
def test_gains_fit_the_terminal(width: int) -> None:
    assert max(len(line.rstrip()) for line in shown(beside(), width).splitlines()) <= width


def test_a_source_is_no_artifact_and_is_on_the_chart(tmp_path: Path) -> None:
    (summary,) = summarise([beside()])
    assert len(summary.lines) == 6
    assert [row.name for row in summary.sources] == ["keras:jax predict", "keras:jax compiled"]
    assert len(summary.timings) == 8
    report([store(tmp_path / "bench.json", beside())], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count('class="bar source"') == 2


def test_a_doubtful_source_makes_the_result_weak() -> None:
    rows = [row for row in samples.run_result().latency if row.verdict == "verified"]
    whole = replace(beside(), results=(*rows, source_row("predict", 1.0)))
    again = replace(whole, results=tuple(rows))
    assert [one.verdict for one in summarise([again, whole])] == ["weak"]


def test_sources_are_rows_of_the_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(summarise([beside()])))))
    found = {row["way"]: row for row in rows if row["way"]}
    assert list(found) == ["predict", "compiled"]
    assert float(found["predict"]["p50_ms"]) == 1.0
    assert found["predict"]["runtime"] == "keras:jax"


def test_a_kit_shows_its_own_source_and_no_other(tmp_path: Path) -> None:
    kit = Kit.prepare(tmp_path / "kit", samples.SOURCE, replace_source=False)
    file = tmp_path / "model.onnx"
    file.write_text("onnx")
    blob = blob_of(file)
    made = Artifact("onnx", "fp32", "", (blob,), blob.sha256, "r", None, Signature((), ()), (), {}, {})
    kit.commit(artifacts=[(made, [file])])
    path = str(kit.folder / kit.artifacts[0].path)
    row = replace(samples.run_result().latency[0], artifact=path)
    foreign = replace(source_row("eager", 1.0, "models/other.keras"), sha256="0" * 64)
    gain = Gain(path, "onnx fp32", "keras:jax predict", "local", 20.0, (19.0, 21.0))
    gains = gain, replace(gain, artifact="elsewhere/model.onnx"), replace(gain, over="keras:jax eager")
    kit.commit(result=replace(beside(), results=(row, source_row("predict", 1.0), foreign), gains=gains))
    (summary,) = report(kit.folder).summaries
    assert [one.name for one in summary.sources] == ["keras:jax predict"]
    assert summary.gains == (gain,)
