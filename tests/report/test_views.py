"""Figures as words, charts, and what a terminal shows."""

from __future__ import annotations

import fnmatch
import importlib
import io
import pkgutil
import re
from dataclasses import replace

import pytest
from rich.console import Console

import edgekit
from edgekit.checked import Accuracy
from edgekit.report import svg, tables, text
from edgekit.report.collect import noise_shares, summarise
from edgekit.report.terminal import VIEWS, view
from edgekit.results import Result
from tests.report import samples


def shown(result: Result, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(view(result))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.04213, "0.0421"),
        (0.5, "0.500"),
        (12.345, "12.3"),
        (123.4, "123"),
        (1234.5, "1234"),
        (0, "0"),
        (2e-7, "2.00e-07"),
        (None, "–"),
    ],
)
def test_numbers(value: float | None, words: str) -> None:
    assert text.number(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(999, "999 B"), (1000, "1.00 kB"), (38_800, "38.8 kB"), (1_250_000, "1.25 MB"), (None, "–")]
)
def test_sizes(value: int | None, words: str) -> None:
    assert text.size(value) == words


def test_no_figure_is_not_called_equal() -> None:
    output = samples.parity(None, 1.0).outputs[0]
    assert text.sqnr(output) == "equal"
    assert text.sqnr(replace(output, max_abs=None)) == "–"


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize(
    "make",
    [
        samples.export_result,
        samples.check_result,
        samples.bench_result,
        samples.run_result,
        samples.quantize_result,
        samples.sensitivity_result,
    ],
)
def test_no_figure_is_cut_short(make: object, width: int) -> None:
    assert callable(make)
    wide, narrow = shown(make(), 400), shown(make(), width)
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= width
    figure = re.compile(r"(?<![\w.])\d[\d.,]*\d(?![\w.])")
    assert set(figure.findall(wide)) == set(figure.findall(narrow))


def test_the_verdict_is_a_word_and_a_reason_stands_once() -> None:
    screen = " ".join(shown(samples.run_result(), 100).split())
    assert "weak: no criterion failed" in screen
    assert screen.count("297 samples are too few") == 1
    assert "recommendation" in screen


def test_refused_routes_are_told() -> None:
    screen = " ".join(shown(samples.export_result(), 100).split())
    assert "keras@torch>onnx>openvino: rejected: output scores differs" in screen
    assert "signal SIGSEGV" in screen


def test_a_quantization_says_what_it_saved_what_it_cost_and_how_it_was_chosen() -> None:
    screen = " ".join(shown(samples.quantize_result(), 120).split())
    assert "openvino int8 weak 1.62× 34.8 dB 81 % 98.0 → 97.6 % -0.4 to 0.9 1.62×" in screen
    assert "onnx int8 on local: does not pay, 0.71× (95 % interval 0.69× to 0.74×) over f32" in screen
    assert "2.73× smaller; 1.18× more memory. Likely reason: the engine did not fuse" in screen
    assert "1.62× smaller; about as much memory. Unless pinned, the engine runs the original in bf16 here" in screen
    assert "--must-pay lets that pass" in screen
    assert "chosen among 5 on 128 samples" in screen
    assert "2 operators stay in float:" in screen
    assert samples.LAYER in "".join(shown(samples.quantize_result(), 80).split()), "a name to copy is never cut short"
    assert "Recipes that were tried for openvino int8" in screen
    assert "Recipes that were tried for onnx int8" not in screen, "one recipe is no choice"


def test_nothing_is_said_of_a_gate_where_all_answers_are_clear() -> None:
    result = samples.quantize_result()
    clear = replace(result, artifacts=result.artifacts[:2])
    assert "--must-pay" not in shown(clear, 100)


def test_a_ranking_shows_who_does_the_damage() -> None:
    screen = shown(samples.sensitivity_result(), 100).splitlines()
    first = next(line for line in screen if "GroupConvolution" in line)
    second = next(line for line in screen if line.strip().startswith("conv2"))
    assert "81.4 %" in first
    assert first.count("█") == 8
    assert second.count("█") == 0
    words = " ".join(" ".join(screen).split())
    assert "3 operators not measured" in words
    assert "7 more operators" in words
    assert "no change" not in "".join(screen), "what does no harm is last, and there are too many"


def test_noise_adds_up_to_one() -> None:
    (row,) = samples.sensitivity_result().results
    shares = noise_shares(row)
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(10 ** ((24.9 - 11.3) / 10) * shares[1])
    assert shares[-1] == 0
    silent = replace(row, layers=tuple(replace(layer, sqnr_db=None) for layer in row.layers))
    assert set(noise_shares(silent)) == {0.0}


def test_a_shortened_name_is_a_pattern_for_the_layer() -> None:
    short = text.short(samples.LAYER, 28)
    assert len(short) == 28
    assert fnmatch.fnmatchcase(samples.LAYER, short)
    assert text.short("conv2", 28) == "conv2"


@pytest.mark.parametrize(("share", "bar"), [(0.0, ""), (1e-9, "▏"), (0.5, "█████"), (1.0, "██████████")])
def test_text_bars(share: float, bar: str) -> None:
    assert text.bar(share, 10) == bar


def test_a_metric_that_is_no_share_has_no_percent() -> None:
    error = Accuracy("mse", 0.0123, 0.0101, 0.0022, (0.001, 0.003), 100)
    assert text.metric_change(error) == "0.0101 → 0.0123"
    assert text.drop_interval(error) == "0.00100 to 0.00300"
    right = Accuracy("top5", 0.976, 0.98, 0.004, (), 100)
    assert text.metric_change(right) == "98.0 → 97.6 %"
    assert text.drop_interval(right) == text.NONE


def test_names_of_recipes_break_between_words() -> None:
    assert text.broken("int8") == "int8"
    assert text.broken("int8_conv_histogram_biasfast").splitlines() == ["int8_conv_", "histogram_", "biasfast"]


def mark(value: float, low: float, high: float) -> svg.Mark:
    return svg.Mark("a", "b", value, low, high, "c", "float")


def bar_widths(chart: str) -> list[float]:
    return [float(found) for found in re.findall(r'class="bar \w+" x="250" y="\d+" width="([\d.]+)"', chart)]


def test_bars_are_in_proportion() -> None:
    first, second = bar_widths(svg.bars([mark(1.0, 0.9, 1.1), mark(2.0, 1.9, 2.1)], "ms", "t"))
    assert second == pytest.approx(2 * first, rel=0.01)


def test_linear_bars_start_at_zero_however_much_they_differ() -> None:
    marks = [svg.Mark("a", "b", value, None, None, "c", "float") for value in (90.0, 45.0, 0.1, 0.0)]
    chart = svg.bars(marks, "percent", "t", linear=True)
    assert "logarithmic" not in chart
    first, second, *tiny = bar_widths(chart)
    assert first == pytest.approx(2 * second, rel=0.01)
    assert max(tiny) == 1


def test_bars_that_differ_a_lot_are_logarithmic_and_say_so() -> None:
    chart = svg.bars([mark(0.1, 0.09, 0.11), mark(1.0, 0.9, 1.1), mark(10.0, 9.0, 11.0)], "ms", "t")
    assert "logarithmic" in chart
    widths = bar_widths(chart)
    assert widths[2] - widths[1] == pytest.approx(widths[1] - widths[0], abs=0.5)
    assert min(widths) > 1


def test_a_chart_stays_in_its_frame() -> None:
    marks = [mark(0.2, 0.1, 0.3), mark(3.0, 2.0, 9.0)]
    for chart in (svg.bars(marks, "ms", "t"), svg.ratios(marks, "x", "t")):
        places = [float(found) for found in re.findall(r'(?:cx|x|x1|x2)="([\d.]+)"', chart)]
        assert max(places) <= svg.WIDTH
        assert min(places) >= 0


def test_every_result_of_edgekit_has_a_view_in_the_terminal() -> None:
    for module in pkgutil.walk_packages(edgekit.__path__, "edgekit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    schemas = {kind.schema for kind in Result.__subclasses__()}
    assert len(schemas) > 8
    assert schemas == set(VIEWS)


def test_the_engine_is_named_only_where_a_target_ran_on_several() -> None:
    check = samples.check_result()
    (other, *rest) = check.results
    assert "Runtime" not in tables.checks(summarise([check])[0]).header
    several = replace(check, results=(other, replace(other, runtime="another"), *rest))
    assert "Runtime" in tables.checks(summarise([several])[0]).header
