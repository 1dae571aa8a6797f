"""What people see of a comparison stage by stage, and of earlier checks."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.checked import Blame, CheckRow, DefaultRun
from edgekit.jobs.protocol import blob_of
from edgekit.kit import Kit
from edgekit.report import html_stages, layers, stages
from edgekit.report.collect import summarise
from edgekit.report.csv_ import to_csv
from edgekit.report.history import CheckTrend, history_of
from edgekit.report.kept import kept_results
from edgekit.report.markdown import to_markdown
from edgekit.report.render import report
from edgekit.results import CheckResult
from edgekit.types import Artifact, Signature, Verdict
from tests.report import samples
from tests.report.test_layers import shown
from tests.report.test_render import Page, store


def broken_twice() -> CheckRow:
    """The export is wrong, and what was made of it is wrong again."""
    found = (samples.stage("export", 26.4, 26.4, "failed"), samples.stage("quantize", 9.5, 8.8, "failed"))
    return replace(samples.failed_check(), precision="int8", stages=found, blame=Blame("export"))


def result_of(*rows: CheckRow) -> CheckResult:
    return CheckResult(False, "failed", samples.REAL, "edgekit-out/digits", "golden samples", rows)


@pytest.mark.parametrize("width", [80, 110])
def test_the_way_from_the_source_is_one_line_and_marks_the_first_that_breaks(width: int) -> None:
    words = " ".join(shown(result_of(broken_twice(), samples.noisy_check()), width).split())
    broken = "onnx int8: source → exported (26.4 dB, the first to break) → quantized (9.5 dB); 8.8 dB from the source."
    assert broken in words
    assert "onnx int8: source → exported (equal) → quantized (33.1 dB); 33.0 dB from the source." in words
    assert words.count("the first to break") == 1


def test_a_stage_that_did_not_run_and_one_without_a_parent_say_so() -> None:
    whole = samples.stage("quantize", 30.0, 30.0)
    gone = replace(broken_twice(), blame=None, stages=(replace(whole, against_parent=None),))
    assert stages.sentence(gone) == "onnx int8: source → quantized (its parent is gone)."
    crashed = replace(whole, against_parent=None, against_source=None, verdict="error")
    assert "did not run" in stages.sentence(replace(gone, stages=(crashed, whole)))


def test_layers_of_an_earlier_stage_are_told_apart() -> None:
    assert layers.title(broken_twice()) == "Layers of onnx int8, stage export"
    assert layers.title(samples.noisy_check()) == "Layers of onnx int8"


def test_stages_in_markdown_and_csv() -> None:
    summaries = summarise([result_of(broken_twice())])
    rows = [line for line in to_markdown(summaries).splitlines() if "exported" in line or "quantized" in line]
    assert ["yes" in line.split("|")[4] for line in rows] == [True, False]
    assert all("**failed**" in line for line in rows)
    table = [row for row in csv.DictReader(io.StringIO(to_csv(summaries))) if row["stage"]]
    assert [(row["stage"], row["stage_breaks_first"]) for row in table] == [("export", "True"), ("quantize", "False")]
    assert [float(row["stage_sqnr_db"]) for row in table] == [26.4, 9.5]
    assert float(table[1]["stage_source_sqnr_db"]) == 8.8


def test_stages_are_boxes_on_the_page(tmp_path: Path) -> None:
    report([store(tmp_path / "check.json", result_of(broken_twice()))], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.text.count("first to break") == 1
    assert text.count('<li class="failed broken"') == 1
    broken = "<b>exported</b> <span>26.4 dB</span><em>first to break</em>"
    assert text.index(broken) < text.index("<b>quantized</b> <span>9.5 dB</span><small>8.8 dB from the source</small>")


def kit_with(folder: Path, *decibels: float | None) -> Kit:
    """A kit with so many checks of one artifact."""
    kit = Kit.prepare(folder, samples.SOURCE, replace_source=False)
    row = samples.noisy_check()
    for decibel in decibels:
        (output,) = row.outputs
        output = replace(output, sqnr_db=decibel, max_abs=0.0 if decibel is None else 0.1)
        verdict: Verdict = "failed" if decibel is not None and decibel < 20 else "weak"
        made = replace(row, outputs=(output,), verdict=verdict, sha256="ab" * 32)
        kit.commit(result=result_of(made))
    return kit


def checks_of(kit: Kit) -> tuple[CheckTrend, ...]:
    return history_of(kept_results(kit).results).checks


def test_the_history_of_a_check(tmp_path: Path) -> None:
    kit = kit_with(tmp_path / "kit", 33.1, 33.1, 12.0)
    (trend,) = checks_of(kit)
    assert [one.sqnr_db for one in trend.moments] == [33.1, 33.1, 12.0]
    assert trend.moments[0].at <= trend.moments[-1].at
    assert trend.sentence.startswith("33.1 dB → 12.0 dB; 3 checks on 297 real samples since ")
    assert trend.sentence.endswith("1 failed.")
    assert checks_of(kit_with(tmp_path / "one", 33.1)) == ()


def test_checks_on_other_samples_are_another_history(tmp_path: Path) -> None:
    kit = kit_with(tmp_path / "kit", 33.1, 33.0)
    few = replace(samples.REAL, samples=8)
    kit.commit(result=replace(result_of(samples.noisy_check()), evidence=few))
    (trend,) = checks_of(kit)
    assert len(trend.moments) == 2


def test_a_result_that_somebody_spoiled_is_left_out(tmp_path: Path) -> None:
    kit = kit_with(tmp_path / "kit", 33.1, 33.0, 32.9)
    spoiled = kit.folder / "results" / kit.manifest.results[1]
    spoiled.write_text("{")
    (trend,) = checks_of(kit)
    assert [one.sqnr_db for one in trend.moments] == [33.1, 32.9]


def test_a_failed_check_is_marked_on_the_curve(tmp_path: Path) -> None:
    trends = checks_of(kit_with(tmp_path / "kit", 33.1, None, 12.0))
    curve = html_stages.curves(trends)
    assert (curve.count('class="point yes"'), curve.count('class="point no"')) == (2, 1)
    places = [float(part.partition('"')[0]) for part in curve.split('cy="')[1:]]
    assert places[1] < places[0] < places[2], "equal lies on top, and a worse one lower"
    assert html_stages.curves(()) == ""


def test_a_failed_check_is_not_hidden_by_a_later_one_of_another_artifact(tmp_path: Path) -> None:
    kit = Kit.prepare(tmp_path / "kit", samples.SOURCE, replace_source=False)
    made = []
    for name in ("onnx", "tflite"):
        file = tmp_path / f"model.{name}"
        file.write_text(name)
        blob = blob_of(file)
        made.append(
            (Artifact(name, "fp32", "", (blob,), blob.sha256, "r", None, Signature((), ()), (), {}, {}), [file])
        )
    kit.commit(artifacts=made)
    one, other = (
        replace(samples.failed_check(), artifact=kept.path, target=kept.target, sha256=kept.sha256, layers=())
        for kept in kit.artifacts
    )
    kit.commit(result=result_of(one))
    kit.commit(
        result=replace(result_of(replace(other, verdict="verified", blame=None, culprit=None)), verdict="verified")
    )
    (summary,) = report(kit.folder).summaries
    assert {line.name: line.verdict for line in summary.lines} == {"onnx fp32": "failed", "tflite fp32": "verified"}
    assert summary.verdict == "failed"


def test_what_an_engine_would_do_by_default_is_told_in_every_view(tmp_path: Path) -> None:
    summary = "as the engine would run it by default (bf16+f32): 44.1 dB, top-1 agreement 99.0 %."
    row = samples.check_row(samples.run_result().artifacts[0])
    row = replace(row, by_default=DefaultRun("bf16+f32", 44.1, 0.99, summary))
    result = result_of(row)
    report([store(tmp_path / "check.json", result)], tmp_path / "report.html")
    views = (shown(result, 100), to_markdown(summarise([result])), Page((tmp_path / "report.html").read_text()).text)
    for view in views:
        assert " ".join(view.split()).count(f"onnx fp32 {summary}") == 1
