"""Figures as words, charts, and what a terminal shows."""

from __future__ import annotations

import importlib
import io
import pkgutil
import re

import pytest
from rich.console import Console

import edgekit
from edgekit.report import svg, text
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
    from dataclasses import replace

    assert text.sqnr(output) == "equal"
    assert text.sqnr(replace(output, max_abs=None)) == "–"


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize(
    "make", [samples.export_result, samples.check_result, samples.bench_result, samples.run_result]
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


def mark(value: float, low: float, high: float) -> svg.Mark:
    return svg.Mark("a", "b", value, low, high, "c", "float")


def bar_widths(chart: str) -> list[float]:
    return [float(found) for found in re.findall(r'class="bar \w+" x="250" y="\d+" width="([\d.]+)"', chart)]


def test_bars_are_in_proportion() -> None:
    first, second = bar_widths(svg.bars([mark(1.0, 0.9, 1.1), mark(2.0, 1.9, 2.1)], "ms", "t"))
    assert second == pytest.approx(2 * first, rel=0.01)


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
