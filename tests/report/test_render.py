"""`edgekit.report` on kits and result files, and what it writes."""

from __future__ import annotations

import csv
import html.parser
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.jobs.codec import from_json
from edgekit.kit import Kit
from edgekit.report.render import ReportResult, report
from edgekit.results import Result
from edgekit.types import Artifact, Signature
from tests.report import samples


def store(path: Path, result: Result) -> Path:
    path.write_text(json.dumps(result.to_json()))
    return path


class Page(html.parser.HTMLParser):
    """Text, open elements and requests of a page; a malformed one fails."""

    VOID = frozenset({"meta", "br", "rect", "line", "path", "circle", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.requests: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.requests += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tmp_path: Path) -> Page:
    inputs = [
        store(tmp_path / "export.json", samples.export_result()),
        store(tmp_path / "run.json", samples.run_result()),
    ]
    result = report(inputs, tmp_path / "report.html")
    assert result.output == str(tmp_path / "report.html")
    return Page((tmp_path / "report.html").read_text())


def test_the_page_is_self_contained(page: Page) -> None:
    assert page.requests == []
    assert "script" not in page.seen
    assert "link" not in page.seen
    assert page.seen.count("svg") == 2


def test_the_page_says_what_was_found(page: Page) -> None:
    for words in (
        "Recommendation",
        "tflite fp32",
        "33.1 dB",
        "does not pay",
        samples.WEAK,
        "avx512_vnni",
        "297 real samples",
    ):
        assert words in page.text
    assert page.text.count(samples.WEAK) == 1
    assert page.text.index("Recommendation") < page.text.index("Artifacts")


def test_text_from_outside_stays_text(page: Page) -> None:
    assert samples.HOSTILE in page.text


def test_markdown_tables_are_tables(tmp_path: Path) -> None:
    source = store(tmp_path / "export.json", samples.export_result())
    report(source, tmp_path / "report.md")
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert not any("<script>" in line for line in lines)
    rows = [line for line in lines if line.startswith("|")]
    widths = [line.replace("\\|", "").count("|") for line in rows]
    header = next(index for index, line in enumerate(rows) if line.startswith("| Artifact | Route"))
    assert set(widths[header:]) == {6}


def test_csv_holds_figures_in_full(tmp_path: Path) -> None:
    source = store(tmp_path / "run.json", samples.run_result())
    report(source, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as stream:
        rows = {(row["target"], row["precision"]): row for row in csv.DictReader(stream)}
    row = rows["openvino", "int8"]
    assert float(row["p50_ms"]) == 0.0422
    assert float(row["speedup"]) == 1.62
    assert int(row["size_bytes"]) == 51_200
    assert row["reasons"] == samples.WEAK
    assert rows["openvino", "fp32"]["speedup"] == ""


def test_a_quantization_on_the_page(tmp_path: Path) -> None:
    inputs = [
        store(tmp_path / "quantize.json", samples.quantize_result()),
        store(tmp_path / "sensitivity.json", samples.sensitivity_result()),
    ]
    report(inputs, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    for words in (
        "98.0 → 97.6 %",
        "2.73× smaller",
        "int8_conv_histogram_biasfast",
        "the zero point must be a scalar",
        "2 operators stay in float",
        samples.LAYER,
        "11.3 dB · 81.4 %",
        "cover 94 %",
        "edgekit quantize edgekit-out/digits --sensitivity --target openvino --precision int8 --data DATA",
        "--recipe int8_conv_histogram_biasfast",
    ):
        assert words in page.text, words
    assert page.seen.count("svg") == 2
    assert page.requests == []


def test_layers_are_rows_of_the_csv(tmp_path: Path) -> None:
    sources = [
        store(tmp_path / "sensitivity.json", samples.sensitivity_result()),
        store(tmp_path / "quantize.json", samples.quantize_result()),
    ]
    report(sources, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    layers = [row for row in rows if row["layer"]]
    assert len(layers) == 27
    assert (layers[0]["layer"], layers[0]["layer_sqnr_db"]) == (samples.LAYER, "11.3")
    made = next(row for row in rows if row["precision"] == "int8" and row["target"] == "openvino" and not row["layer"])
    assert (float(made["size_ratio"]), float(made["speedup"]), made["pays"]) == (1.62, 1.62, "yes")
    assert made["left_float"].endswith("fc1/MatMul")
    assert float(made["drop_ci95_high"]) == 0.009


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
@pytest.mark.parametrize("suffix", [".html", ".md", ".csv"])
def test_each_kind_of_result_alone(make: object, suffix: str, tmp_path: Path) -> None:
    assert callable(make)
    document = make()
    result = report([store(tmp_path / "one.json", document)], tmp_path / f"report{suffix}")
    assert result.verdict == document.verdict
    assert "openvino" in (tmp_path / f"report{suffix}").read_text()


def test_the_result_survives_json(tmp_path: Path) -> None:
    result = report([store(tmp_path / "run.json", samples.run_result())])
    document = json.loads(json.dumps(result.to_json()))
    assert document.pop("schema") == "edgekit.report/1"
    assert from_json(ReportResult, document) == result


def test_a_kit_shows_its_newest_results(tmp_path: Path) -> None:
    kit = Kit.prepare(tmp_path / "kit", samples.SOURCE, replace_source=False)
    run = samples.run_result()
    model = tmp_path / "model.onnx"
    model.write_bytes(b"onnx")
    blob_name = "model.onnx"
    from edgekit.jobs.protocol import blob_of

    made = run.artifacts[0]
    assert made.sha256 is not None
    kept = Artifact(
        "onnx", "fp32", "", (blob_of(model, blob_name),), made.sha256, "r", None, Signature((), ()), (), {}, {}
    )
    kit.commit(artifacts=[(kept, [model])], result=samples.export_result())
    kit.commit(result=run)
    (summary,) = report(tmp_path / "kit").summaries
    held = [line.name for line in summary.lines if line.timings]
    assert held == ["onnx fp32"], "what the kit no longer holds is left out"
    assert summary.recommendation is not None
    assert summary.recommendation.artifact == "onnx fp32", "nothing is recommended that the kit no longer holds"
    assert np.isclose(summary.timings[0].latency_ms.p50 if summary.timings[0].latency_ms else 0, 0.0421)


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    good = store(tmp_path / "run.json", samples.run_result())
    (tmp_path / "text.json").write_text("not json")
    (tmp_path / "other.json").write_text('{"schema": "edgekit.kit/1"}')
    (tmp_path / "old.json").write_text('{"schema": "edgekit.run/1", "ok": true}')
    (tmp_path / "empty").mkdir()
    cases: list[tuple[Path, str | None, str]] = [
        (tmp_path / "absent", None, "no-such-file"),
        (tmp_path / "text.json", None, "not-a-result"),
        (tmp_path / "other.json", None, "unknown-schema"),
        (tmp_path / "old.json", None, "unreadable-result"),
        (tmp_path / "empty", None, "no-kit"),
        (good, "report.pdf", "unknown-report-format"),
        (good, "absent/report.html", "no-such-folder"),
    ]
    for source, output, code in cases:
        with pytest.raises(UsageError) as caught:
            report([source], tmp_path / output if output else None)
        assert caught.value.code == code


def test_the_function_and_the_package_share_a_name() -> None:
    code = (
        "import edgekit\n"
        "first = edgekit.report\n"
        "import edgekit.report.text\n"
        "for function in (first, edgekit.report):\n"
        "    try: function('absent')\n"
        "    except edgekit.errors.UsageError as error: assert error.code == 'no-such-file'\n"
        "    else: raise SystemExit('not called')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
