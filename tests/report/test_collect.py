"""How several results become one line per artifact."""

from __future__ import annotations

from dataclasses import replace

from edgekit.report.collect import commands, summarise
from edgekit.report.reasons import reasons_by_text
from tests.report import samples


def test_one_line_per_artifact() -> None:
    (summary,) = summarise([samples.export_result(), samples.run_result()])
    assert [line.name for line in summary.lines][:4] == ["onnx fp32", "openvino fp32", "tflite fp32", "onnx fp16"]
    line = next(line for line in summary.lines if line.name == "openvino int8")
    assert (len(line.checks), len(line.timings)) == (1, 1)
    assert line.pays[0].answer == "yes"


def test_later_results_replace_earlier_ones() -> None:
    older, newer = samples.bench_result(), samples.bench_result()
    newer = replace(newer, results=tuple(replace(row, load_ms=99.0) for row in newer.results))
    (summary,) = summarise([older, newer])
    assert [row.load_ms for row in summary.timings] == [99.0] * len(older.results)


def test_the_newest_timing_counts_however_its_path_is_spelled() -> None:
    first = replace(samples.bench_result().results[0], sha256="ab" * 32)
    again = replace(first, artifact=f"./{first.artifact}", measured_at="2026-03-02T12:30:45+00:00")
    results = [replace(samples.bench_result(), results=(row,)) for row in (first, again)]
    (summary,) = summarise(results)
    assert summary.timings == (again,)


def test_timings_of_a_replaced_artifact_are_left_out() -> None:
    run = samples.run_result()
    remade = tuple(replace(row, path=f"artifacts/other-{row.name}/model") for row in run.artifacts)
    (summary,) = summarise([samples.bench_result(), replace(run, artifacts=remade, latency=(), checks=())])
    assert summary.timings == ()
    assert any("older" in note for note in summary.notes)


def test_two_kits_are_two_summaries() -> None:
    other = replace(samples.check_result(), kit="elsewhere")
    assert [summary.kit for summary in summarise([samples.run_result(), other])] == ["edgekit-out/digits", "elsewhere"]


def test_a_noisy_timing_is_no_doubt_about_correctness() -> None:
    (summary,) = summarise([samples.run_result()])
    line = next(line for line in summary.lines if line.name == "tflite fp32")
    assert line.timing is not None
    assert (line.verdict, line.timing.verdict) == ("verified", "weak")


def test_every_reason_stands_once() -> None:
    (summary,) = summarise([samples.export_result(), samples.run_result(), samples.check_result()])
    reasons = reasons_by_text(summary)
    assert reasons[samples.WEAK] == ("onnx int8", "openvino int8", "tflite int8")


def test_commands_name_the_accepted_routes() -> None:
    (summary,) = summarise([samples.run_result()])
    listed = commands(summary)
    assert (
        "edgekit export models/digits.keras --target tflite --route 'keras@jax>stablehlo>tflite' -o edgekit-out/digits"
        in listed
    )
    assert "edgekit quantize edgekit-out/digits --target onnx --precision int8 --data DATA" in listed


def test_the_command_of_a_quantization_names_its_recipe() -> None:
    result = samples.quantize_result()
    (summary,) = summarise([result])
    listed = "\n".join(commands(summary))
    assert "--target onnx --precision int8 --recipe int8_conv_histogram_biasfast --data DATA" in listed
    path = result.artifacts[1].path
    assert f"--target openvino --precision int8 --recipe {path} --data DATA" in listed, "its name lacks the layers"


def test_the_size_ratio_without_a_timing_is_that_of_the_files() -> None:
    run = samples.run_result()
    (summary,) = summarise([replace(run, artifacts=tuple(replace(row, pays=()) for row in run.artifacts), latency=())])
    ratios = {line.name: summary.size_ratio(line) for line in summary.lines}
    assert ratios["onnx fp32"] is None
    assert ratios["onnx int8"] == 104_212 / 38_800


def test_a_check_without_labels_does_not_hide_the_accuracy_of_an_earlier_one() -> None:
    row = next(row for row in samples.run_result().checks if row.accuracy is not None)
    row = replace(row, sha256="ab" * 32)
    other = replace(row, artifact=f"/elsewhere/{row.artifact}", accuracy=None, verdict="weak")
    (summary,) = summarise([replace(samples.check_result(), results=(one,)) for one in (row, other)])
    ((check,),) = [line.checks for line in summary.lines]
    assert (check.accuracy, check.verdict) == (row.accuracy, "weak")


def test_checks_of_a_kit_that_was_moved_are_still_its_own() -> None:
    run = samples.run_result()
    check = samples.check_result()
    moved = replace(check, results=tuple(replace(row, artifact=f"elsewhere/{row.artifact}") for row in check.results))
    (here,), (there,) = (summarise([replace(run, checks=()), one]) for one in (check, moved))
    assert [len(line.checks) for line in there.lines] == [len(line.checks) for line in here.lines]
    assert not any("left out" in note for note in there.notes)


def test_results_about_one_file_carry_its_name() -> None:
    (row, *_) = samples.check_result().results
    check = replace(samples.check_result(), kit=None, results=(replace(row, artifact="mine/net.onnx"),))
    (summary,) = summarise([check])
    assert (summary.title, summary.stored) == ("mine/net.onnx", False)


def test_a_comparison_of_one_file_is_made_again_by_its_own_command() -> None:
    (row, *_) = samples.check_result().results
    check = replace(samples.check_result(), kit=None, against="a net.onnx", results=(row,))
    (summary,) = summarise([check])
    assert commands(summary) == (f"edgekit check {row.artifact} --against 'a net.onnx'",)
