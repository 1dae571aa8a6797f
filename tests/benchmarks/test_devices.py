"""The table of devices: what stands in a line, and that the document has one for every place."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.devices import BEGIN, BOARDS, END, PLACES, line, reasons
from benchmarks.measuring import write_between
from edgekit.checked import Accuracy, CheckRow, OutputParity
from edgekit.types import Effective, Reading

DOCUMENT = Path(__file__).parents[2] / "docs" / "devices.md"

ROW = CheckRow(
    artifact="model.onnx",
    target="onnx",
    precision="int8",
    runtime="onnxruntime:WebGPU",
    device="local",
    verdict="verified",
    reasons=("batch fixed to 1.",),
    outputs=tuple(
        OutputParity(name, 0.1, 0.1, sqnr, 30.0, 1.0, None, None, None, None)
        for name, sqnr in (("a", 41.26), ("b", 52.0), ("c", None))
    ),
    effective=Effective(Reading("i8+f32", "engine"), Reading("WebGPU 2/3, CPU 1/3", "engine")),
    culprit=None,
    accuracy=Accuracy("accuracy", 0.989, 0.99, 0.001, (), 719),
)
FAILED = CheckRow("model.onnx", "onnx", "fp32", "onnxruntime", "board", "error", ("it does not run.",), (), None, None)


def test_a_line_says_what_ran_and_how_well_its_worst_output_holds() -> None:
    shown = ["`local`", "onnxruntime:WebGPU", "onnx int8", "verified", "41.3 dB", "98.9 %"]
    assert line(ROW, 0.0257) == [*shown, "i8+f32", "WebGPU 2/3, CPU 1/3", "25.7 µs"]


def test_what_is_not_known_has_a_dash() -> None:
    assert line(FAILED, None) == ["`board`", "onnxruntime", "onnx fp32", "error", *["–"] * 5]


def test_only_what_is_not_verified_needs_a_reason() -> None:
    assert reasons([ROW, FAILED]) == "\n- onnx fp32 on `board`: it does not run.\n"
    assert reasons([ROW]) == ""


def test_the_text_goes_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_between(document, BEGIN, END, "new\n")
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    document.write_text("no marks")
    with pytest.raises(ValueError, match="has no"):
        write_between(document, BEGIN, END, "new\n")


def test_the_document_shows_every_place() -> None:
    shown = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    for place in (*PLACES, *BOARDS):
        lines = [text for text in shown.splitlines() if text.startswith(f"| `{place.device}` |")]
        assert len(lines) == 2 * (len(place.runtimes) or 3)
