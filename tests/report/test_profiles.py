"""A profile as it is shown: what is too fast for the clock is not dropped, and what is left out is said."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from edgekit.figures import LayerTime, OperatorTime, Profile
from edgekit.report import profiles
from edgekit.report.collect import summarise
from edgekit.report.html import to_html
from edgekit.report.markdown import to_markdown
from edgekit.report.terminal import view
from edgekit.results import BenchResult
from tests.report import samples


def operator(ms: float, share: float, noise_ms: float | None = None, **changes: object) -> OperatorTime:
    made = OperatorTime("conv/Conv", "Conv", ("conv", "norm", "relu"), ms, share, "i8", "CPU", noise_ms)
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def engine_profile(count: int) -> Profile:
    """One large operator, and others that the clock cannot tell."""
    rest = [operator(0.0, 0.0, name=f"small_{place}", layers=()) for place in range(count - 1)]
    operators = (operator(0.012, 1.0), *rest)
    return Profile("engine profile", 0.012, operators, 0.010, 0.015, 200, 1e-3, "source", notes=("something is slow.",))


def result(profile: Profile) -> BenchResult:
    bench = samples.bench_result()
    return replace(bench, results=(replace(bench.results[0], profile=profile), *bench.results[1:]))


def shown(profile: Profile, width: int = 100) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(view(result(profile)))
    return captured.get()


def test_what_is_faster_than_the_clock_is_less_than_a_microsecond() -> None:
    profile = engine_profile(2)
    assert [profiles.time(one, profile) for one in profile.operators] == ["12 µs", "< 1 µs"]


def test_a_difference_within_its_noise_is_less_than_both() -> None:
    profile = replace(engine_profile(1), method="bisection", profiled_ms=None, resolution_ms=1e-6)
    assert profiles.time(operator(0.0245, 0.9, 0.0001), profile) == "24.5 ±0.1 µs"
    assert profiles.time(operator(2.5, 0.9, 0.01), profile) == "2.50 ±0.01 ms"
    assert profiles.time(operator(0.001, 0.1, 0.004), profile) == "< 5.00 µs"


def test_the_terminal_shows_ten_operators_with_bars_and_says_what_is_left_out() -> None:
    seen = shown(engine_profile(14))
    assert "Where the time of onnx fp32 goes" in seen
    assert "██████████" in seen
    assert seen.count("< 1 µs") == 9
    assert "4 more operators with 0.0 % of the time" in seen
    assert "Something is slow." in seen


def test_the_cost_of_the_profile_is_told_and_that_it_is_no_latency() -> None:
    seen = " ".join(shown(engine_profile(2)).split())
    assert "15.0 µs with the profile and 10.0 µs without (+50 %)" in seen
    assert "no latency" in seen


def test_no_time_is_cut_short_on_a_narrow_terminal() -> None:
    assert "12 µs" in shown(engine_profile(3), 80)


def test_the_page_has_a_chart_and_every_operator() -> None:
    page = to_html(summarise([result(engine_profile(40))]))
    assert "Where the time of onnx fp32 goes" in page
    assert "microseconds of one inference, as the engine profiles them; no latency" in page
    assert "small_38" in page.replace("<wbr>", "")
    assert "40 operators" in page


def test_the_document_has_the_table() -> None:
    document = to_markdown(summarise([result(engine_profile(12))]))
    assert "| `conv + norm + relu` | Conv |" in document
    assert "2 more operators with 0.0 % of the time" in document
    assert "Where the time" not in to_markdown(summarise([samples.bench_result()]))


def test_an_operator_that_the_engine_added_goes_by_its_own_name() -> None:
    assert profiles.layers(operator(0.0, 0.0, name="Reorder", layers=())) == "(Reorder)"
    many = operator(0.0, 0.0, layers=("a", "b", "c", "d", "e", "f"))
    assert profiles.layers(many) == "a + b + c + d + 2 more"


def test_layers_of_several_operators_are_summed_up() -> None:
    layers = (LayerTime(("lstm",), 0.009, 0.75, 124), LayerTime(("logits",), 0.002, 0.17, 1))
    profile = replace(engine_profile(2), layers=layers)
    assert "By layer of the source: lstm 75.0 % in 124 operators, logits 17.0 %." in " ".join(shown(profile).split())
    assert "<summary>2 layers</summary>" in to_html(summarise([result(profile)]))
