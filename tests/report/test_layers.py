"""What people see of a comparison layer by layer: who is to blame, how to reproduce it, every figure."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from rich.console import Console

import edgekit
from edgekit.checked import Blame
from edgekit.report import html_layers, layers, svg, svg_layers
from edgekit.report.collect import summarise
from edgekit.report.csv_ import to_csv
from edgekit.report.markdown import to_markdown
from edgekit.report.render import report
from edgekit.report.terminal import view
from edgekit.report.terminal_layers import shared, shortened, told_apart
from edgekit.results import CheckResult, Result
from tests.attribution.test_check_layers import CULPRIT, planted
from tests.report import samples
from tests.report.test_render import Page, store


def shown(result: Result, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, highlight=False)
    console.print(view(result))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows_of(screen: str) -> dict[str, str]:
    """Lines of the first table of layers, by the number of the layer."""
    lines = screen.splitlines()
    start = next(index for index, line in enumerate(lines) if "#" in line and "Added" in line) + 2
    end = next(index for index in range(start, len(lines)) if not lines[index].strip())
    return {found.group(): line for line in lines[start:end] if (found := re.search(r"\d+", line)) is not None}


def test_the_culprit_the_command_and_the_figures_stand_under_the_checks() -> None:
    words = " ".join(shown(samples.layers_result(), 110).split())
    sentence = "onnx fp32: the fault begins in stage export, in layer conv2d_24 (Conv conv2d_24/Conv)."
    assert words.count(sentence) == 1
    assert "differs by up to 0.13 where 0.00011 is allowed (17.5 dB)" in words
    assert samples.failed_check().failing.command in words  # type: ignore[union-attr]  # the sample has one
    assert words.index("Verdict") < words.index("the fault begins") < words.index("onnx int8: all 32 layers")


@pytest.mark.parametrize("width", [80, 110])
def test_the_layers_around_the_culprit_are_shown_and_marked(width: int) -> None:
    rows = rows_of(shown(samples.layers_result(), width))
    assert list(rows) == [str(number) for number in range(18, 30)]
    assert [number for number, line in rows.items() if "→" in line] == ["26"]
    assert [number for number, line in rows.items() if "✗" in line] == ["27", "28", "29"]
    assert "block_23/conv" in rows["25"]
    assert all(figure in rows["28"] for figure in ("15.8 dB", "0.16", "0.00011", "25.6 dB"))
    assert "n_2/add " in rows["27"], "the end of a long name tells layers apart"


@pytest.mark.parametrize("width", [80, 100, 110])
def test_no_figure_of_a_layer_is_cut_short(width: int) -> None:
    wide, narrow = shown(samples.layers_result(), 400), shown(samples.layers_result(), width)
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= width
    figure = re.compile(r"(?<![\w.…])\d[\d.,]*\d(?![\w.])")
    assert set(figure.findall(wide)) == set(figure.findall(narrow))


def test_without_a_culprit_the_layers_that_add_the_most_noise_are_shown() -> None:
    row = samples.noisy_check()
    assert {3, 17, 30} <= set(layers.shown(row))
    assert list(layers.shown(row)) == sorted(layers.shown(row))
    assert len(layers.shown(row)) == layers.MOST_ROWS
    assert layers.sentences(row)[1].startswith("The most noise is added by op_17 (24.6 dB), op_3 (28.1 dB)")


def test_a_fault_of_no_single_layer_marks_none() -> None:
    together = Blame("export", together=("relu_1", "conv_2"))
    row = replace(samples.failed_check(), layers=samples.noisy_check().layers, blame=together, failing=None)
    assert layers.culprit_index(row) is None
    assert "in stage export, in what the engine makes of relu_1, conv_2 together" in layers.sentences(row)[0]


def test_a_fused_group_is_blamed_by_its_layer() -> None:
    fused = Blame("quantize", "probs", "FusedConv", "fused_7", ("conv2d_24", "pool"))
    row = replace(samples.failed_check(), blame=fused)
    assert str(fused) == "quantize: layer probs with conv2d_24, pool fused into it (FusedConv fused_7)"
    assert row.layers[layers.culprit_index(row) or 0].layer == "probs"
    assert layers.stage(row) == "quantize"


def test_a_layer_that_differs_does_not_blame_an_artifact_that_holds() -> None:
    row = samples.noisy_check()
    row = replace(row, layers=(*row.layers[:4], replace(row.layers[4], good=False), *row.layers[5:]))
    sentence = layers.sentences(row)[0]
    assert sentence.startswith("onnx int8: 1 of 32 layers differs by more than int8 promises, the first is op_4;")
    assert sentence.endswith("the outputs hold all the same.")


def test_a_check_without_layers_says_nothing_of_them() -> None:
    words = shown(samples.check_result(), 100)
    assert "Added" not in words
    assert "layer" not in words


def test_the_page_has_the_chart_the_command_and_every_layer(tmp_path: Path) -> None:
    report([store(tmp_path / "check.json", samples.layers_result())], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert page.seen.count("svg") == 2
    assert page.requests == []
    assert page.text.index("Layers of onnx fp32") < page.text.index("Layers of onnx int8")
    for words in ("the fault begins in stage export", "/reproduce.py", samples.LAYER, "block_0/conv", "gate, 80 dB"):
        assert words in page.text, words
    assert len(re.findall(r">culprit<", (tmp_path / "report.html").read_text())) == 1, "one cell of one table"


def test_a_hostile_name_of_a_layer_stays_text(tmp_path: Path) -> None:
    row = samples.failed_check()
    hostile = replace(row, layers=tuple(replace(one, layer=f"{one.layer}{samples.HOSTILE}") for one in row.layers))
    result = replace(samples.layers_result(), results=(hostile,))
    report([store(tmp_path / "check.json", result)], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert "script" not in page.seen
    assert samples.HOSTILE in page.text


def test_the_chart_falls_where_the_fault_is() -> None:
    chart = html_layers.chart(samples.failed_check())
    found = re.findall(r'class="point (\w+)" cx="([\d.]+)" cy="([\d.]+)"', chart)
    right = [(float(x), float(y)) for kind, x, y in found if kind == "yes"]
    wrong = [(float(x), float(y)) for kind, x, y in found if kind == "no"]
    assert (len(right), len(wrong)) == (25, 3)
    (line,) = (float(x) for x in re.findall(r'<line class="culprit" x1="([\d.]+)"', chart))
    assert max(x for x, _ in right) < line < min(x for x, _ in wrong)
    assert min(y for _, y in wrong) > max(y for _, y in right), "a worse layer lies lower"


def test_a_chart_of_layers_stays_in_its_frame() -> None:
    points = [
        svg_layers.Point("a", inf, inf, "yes", ""),
        svg_layers.Point("b", -300.0, None, "no", ""),
        svg_layers.Point("c", None, None, "culprit", ""),
    ]
    for many in (points, points * 40):
        chart = svg_layers.layers(many, 80.0, "t")
        height = float(re.findall(r'viewBox="0 0 \d+ (\d+)"', chart)[0])
        assert all(0 <= float(x) <= svg.WIDTH for x in re.findall(r' (?:cx|x|x1|x2)="(-?[\d.]+)"', chart))
        assert all(0 <= float(y) <= height for y in re.findall(r' (?:cy|y|y1|y2)="(-?[\d.]+)"', chart))


def test_an_equal_layer_is_the_best_and_one_without_a_tensor_has_no_figure() -> None:
    chart = html_layers.chart(samples.failed_check())
    assert "1. image (InputLayer): equal, max abs 0" in chart
    assert "26. conv2d_24 (Conv2D): no figure" in chart


def test_markdown_and_csv_hold_every_layer() -> None:
    summaries = summarise([samples.layers_result()])
    rows = [line for line in to_markdown(summaries).splitlines() if line.startswith("| ")]
    assert sum("BatchNormalization" in line and "**no**" in line for line in rows) == 1
    assert sum("**culprit**" in line for line in rows) == 1
    table = [row for row in csv.DictReader(io.StringIO(to_csv(summaries))) if row["layer"]]
    assert len(table) == 29 + 32
    (culprit,) = (row for row in table if row["layer_holds"] == "culprit")
    assert (culprit["layer"], culprit["layer_number"], culprit["layer_sqnr_db"]) == ("conv2d_24", "26", "")
    wrong = next(row for row in table if row["layer"] == samples.LAYER)
    assert (float(wrong["layer_sqnr_db"]), float(wrong["layer_tolerance"])) == (17.49, 1.1e-4)
    (made,) = (row for row in csv.DictReader(io.StringIO(to_csv(summaries))) if row["culprit"])
    assert made["reproduce"].endswith("/reproduce.py")


def test_names_give_way_and_the_longest_first() -> None:
    assert shared([30, 5, 20], 40) == [17, 5, 17]
    assert shared([30, 5, 20], 100) == [30, 5, 20]
    assert shared([30, 30], 0) == [8, 8], "a name is never shorter than can be read"
    assert shortened("batch_normalization_3", 10, ends=True) == "…ization_3"
    assert shortened("GlobalAveragePooling2D", 10, ends=False) == "GlobalAve…"
    assert shortened("conv", 10, ends=True) == "conv"


@pytest.mark.slow
def test_a_real_fault_is_told_from_the_stored_result(digits_kit: Path, tmp_path: Path) -> None:
    kit = planted(digits_kit, "onnx", tmp_path)
    result = edgekit.check(kit, target="onnx", precision="fp32")
    assert isinstance(result, CheckResult)
    report(kit, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert f"in layer {CULPRIT} (" in page.text
    failing = result.results[0].failing
    assert failing is not None
    assert failing.command in page.text
    assert f"in layer {CULPRIT} (" in " ".join(shown(report(kit), 80).split())


def test_a_file_of_its_own_is_blamed_without_a_stage() -> None:
    row = replace(samples.failed_check(), stages=(samples.stage("export", 17.5, 17.5, "failed"),))
    words = " ".join(shown(CheckResult(False, "failed", samples.REAL, None, "other.xml", (row,), False), 110).split())
    assert "onnx fp32: the fault begins in layer conv2d_24 (Conv conv2d_24/Conv)." in words
    assert f"compared with other.xml on {samples.REAL.samples} real samples" in words
    assert "stage" not in words.lower()
    assert "Culprit" not in words
    assert "All layers: --json" in words


def test_a_failure_whose_layers_all_hold_says_so() -> None:
    row = replace(samples.noisy_check(), verdict="failed", blame=Blame("quantize"))
    (sentence,) = layers.sentences(row)
    assert sentence.startswith("onnx int8: the fault begins in stage quantize; no single layer is to blame: all ")
    assert sentence.endswith(" layers that can be compared hold.")


def test_the_command_that_shows_all_layers_can_be_copied() -> None:
    lines = shown(replace(samples.layers_result(), kit="a kit"), 80).splitlines()
    assert "  edgekit report 'a kit' -o report.html" in [line.rstrip() for line in lines]


def test_names_that_end_alike_are_told_apart() -> None:
    names = ["max;jit(f)/conv_1/dilated;jit(f)", "max;jit(f)/conv_2/dilated;jit(f)", "probs"]
    assert told_apart(names, 12) == ["…(f)/conv_1…", "…(f)/conv_2…", "probs"]
    assert told_apart(names, 40) == names
