"""Each command on a good kit: one JSON document on stdout, figures that hold, progress on stderr only."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.command import SCRIPT, copied, edgekit, environment

SIX = {f"{target} {precision}" for target in ("onnx", "openvino", "tflite") for precision in ("fp32", "int8")}


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {f"{row['target']} {row['precision']}" for row in rows}


def only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    (row,) = rows
    return row


@pytest.fixture(scope="module")
def kit(digits_kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that results may be added to."""
    return copied(digits_kit, tmp_path_factory.mktemp("commands"))


def test_check(kit: Path) -> None:
    document = edgekit("check", kit, "--json", cwd=kit).document
    assert document["schema"] == "edgekit.check/1"
    assert document["evidence"]["inputs"] == "real"
    assert names(document["results"]) == SIX
    for row in document["results"]:
        assert {"artifact", "runtime", "device", "reasons", "effective", "culprit"} <= set(row)
        assert row["verdict"] in ("verified", "weak")
        assert row["effective"]["precision"]["how"] in ("engine", "inferred", "not reported")
        (output,) = row["outputs"]
        assert {"max_abs", "max_rel", "sqnr_db", "cosine", "top1_agreement", "tolerance"} <= set(output)
    stored = json.loads((kit / "kit.json").read_text())["results"]
    assert stored[-1].startswith("check-")


def test_weak_evidence_fails_a_strict_check(kit: Path) -> None:
    """32 golden samples cannot show that int8 agrees on 97 % of all."""
    options = ("--target", "onnx", "--precision", "int8", "--json")
    assert edgekit("check", kit, *options, cwd=kit).document["verdict"] == "weak"
    strict = edgekit("check", kit, *options, "--strict", cwd=kit)
    assert strict.code == 1
    assert strict.document["verdict"] == "weak"


def test_check_on_data_gives_accuracy(kit: Path, digits: Path) -> None:
    data = ("--data", digits / "test.npz", "--labels", "label", "--target", "tflite", "--precision", "int8")
    document = edgekit("check", kit, *data, "--json", cwd=kit).document
    row = only(document["results"])
    assert document["verdict"] == row["verdict"] == "verified"
    assert row["accuracy"]["samples"] == 719
    assert row["accuracy"]["value"] > 0.9


def test_a_corrupted_weight_is_found_against_the_model(kit: Path, digits: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(next((kit / "artifacts").glob("onnx-fp32-*/model.onnx")))
    weight = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    array = numpy_helper.to_array(weight).copy()
    array.flat[7] += 1.0
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    onnx.save(model, tmp_path / "corrupted.onnx")
    done = edgekit("check", "corrupted.onnx", "--against", digits / "digits.keras", "--json", cwd=tmp_path)
    assert done.code == 1
    row = only(done.document["results"])
    assert row["verdict"] == "failed"
    assert row["culprit"].startswith("export")
    assert row["blame"]["stage"] == "export"
    (output,) = row["outputs"]
    assert output["max_abs"] > output["tolerance"]
    assert any(f"{output['max_abs']:.3g} is over {output['tolerance']:.3g}" in text for text in row["reasons"])


def test_a_tolerance_of_the_users_replaces_the_derived_one(kit: Path) -> None:
    options = ("--target", "onnx", "--precision", "fp32", "--json")
    tight = edgekit("check", kit, *options, "--tolerance", "1e-12", cwd=kit)
    assert tight.code == 1
    assert only(tight.document["results"])["culprit"] == "export"
    assert edgekit("check", kit, *options, "--tolerance", "0.5", cwd=kit).document["verdict"] == "verified"


def test_check_against_another_artifact(kit: Path) -> None:
    one, other = (str(next((kit / "artifacts").glob(f"{name}-fp32-*"))) for name in ("onnx", "openvino"))
    document = edgekit("check", one, "--against", other, "--json", cwd=kit).document
    assert document["against"] == other
    assert only(document["results"])["verdict"] == "verified"


def test_quantize(digits_kit: Path, digits: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    data = (
        "--data",
        digits / "train.npz",
        "--eval-data",
        digits / "test.npz",
        "--labels",
        "label",
        "--max-drop",
        "0.1",
    )
    document = edgekit("quantize", kit, *data, "--target", "tflite", "--io", "int8", "--json", cwd=kit).document
    assert document["schema"] == "edgekit.quantize/1"
    row = only(document["artifacts"])
    assert row["parity"]["evidence"] == {**document["evidence"], "shapes": row["parity"]["evidence"]["shapes"]}
    assert row["accuracy"]["drop"] <= 0.1
    assert row["route"].endswith(">tflite:int8")
    held = json.loads((kit / "kit.json").read_text())["artifacts"]
    assert names(held) == SIX
    from ai_edge_litert.interpreter import Interpreter

    assert [one["dtype"] for one in Interpreter(str(kit / row["path"])).get_input_details()] == [np.int8]


def test_fp16_needs_no_data(digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    document = edgekit("quantize", kit, "--precision", "fp16", "--target", "openvino", "--json", cwd=kit).document
    row = only(document["artifacts"])
    assert row["verdict"] == "verified"
    fp32 = next((kit / "artifacts").glob("openvino-fp32-*/model.bin")).stat().st_size
    assert next((kit / "artifacts").glob("openvino-fp16-*/model.bin")).stat().st_size < 0.7 * fp32


def test_an_artifact_that_loses_too_much_is_not_kept(digits_kit: Path, digits: Path, tmp_path: Path) -> None:
    """Calibrated on a corner of what the model will see: images that are dark, but not so dark as to be refused."""
    kit = copied(digits_kit, tmp_path)
    before = {path.name for path in (kit / "artifacts").iterdir()}
    with np.load(digits / "train.npz") as arrays:
        np.savez(tmp_path / "dim.npz", image=arrays["image"] * np.float32(0.15))
    evaluation = ("--eval-data", digits / "test.npz", "--labels", "label")
    command = (
        "quantize",
        kit,
        "--data",
        tmp_path / "dim.npz",
        *evaluation,
        "--target",
        "onnx",
        "--trials",
        "1",
        "--json",
    )
    done = edgekit(*command, cwd=tmp_path)
    assert done.code == 1
    row = only(done.document["artifacts"])
    assert row["verdict"] == "failed"
    assert row["path"] is None
    assert row["attempts"][0]["outcome"] == "rejected"
    assert row["accuracy"]["drop"] > 0.05
    assert {path.name for path in (kit / "artifacts").iterdir()} == before


def test_must_pay_tells_what_does_not(digits_kit: Path, tmp_path: Path) -> None:
    """Weights in fewer bits never make this network faster: they are expanded before the arithmetic."""
    kit = copied(digits_kit, tmp_path)
    command = ("quantize", kit, "--precision", "fp16", "--target", "onnx", "--must-pay", "--json")
    done = edgekit(*command, cwd=tmp_path)
    row = only(done.document["artifacts"])
    (pays,) = row["pays"]
    assert row["verdict"] == "verified"  # speed changes no verdict about correctness
    assert done.code == (1 if pays["answer"] == "no" else 0)
    assert pays["likely_reason"] or pays["answer"] == "yes"


def test_bench_and_a_baseline(kit: Path, tmp_path: Path) -> None:
    command = ("bench", kit, "--target", "tflite", "--max-seconds", "3", "--threads", "1", "--json")
    first = edgekit(*command, cwd=tmp_path)
    document = first.document
    assert document["schema"] == "edgekit.bench/1"
    assert document["evidence"]["inputs"] == "real"
    for row in document["results"]:
        assert {"runtime", "device", "threads", "batch", "scenario", "openings", "environment"} <= set(row)
        assert 0 < row["latency_ms"]["min"] <= row["latency_ms"]["p50"] <= row["latency_ms"]["p90"]
        low, high = row["latency_ms"]["ci95_p50"]
        assert low <= row["latency_ms"]["p50"] <= high
        assert row["threads"] == 1
        assert row["peak_rss_mb"] > 0
    (tmp_path / "base.json").write_text(first.out)
    second = edgekit(*command, "--baseline", "base.json", "--max-regression", "400%", cwd=tmp_path)
    assert second.code == 0
    assert len(second.document["comparisons"]) == 2
    assert not any(one["regression"] for one in second.document["comparisons"])


def chain(path: Path, layers: int) -> None:
    """A network of square layers."""
    import onnx
    from onnx import TensorProto, helper

    weights = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32) / 16
    nodes = [helper.make_node("MatMul", [f"x{index}", "w"], [f"x{index + 1}"]) for index in range(layers)]
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 256]) for name in ("x0", f"x{layers}"))
    graph = helper.make_graph(nodes, "chain", [given], [made], [onnx.numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_an_artifact_that_became_slower_is_a_regression(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x0=np.random.default_rng(1).normal(size=(8, 256)).astype(np.float32))
    for name, layers in (("old", 4), ("new", 80)):
        chain(tmp_path / f"{name}.onnx", layers)
    options = ("--data", "data.npz", "--threads", "1", "--max-seconds", "5", "--json")
    (tmp_path / "base.json").write_text(edgekit("bench", "old.onnx", *options, cwd=tmp_path).out)
    done = edgekit("bench", "new.onnx", *options, "--baseline", "base.json", "--max-regression", "5%", cwd=tmp_path)
    comparison = only(done.document["comparisons"])
    assert comparison["regression"] is (comparison["answer"] == "slower")
    assert done.code == (1 if comparison["regression"] else 0)
    if comparison["regression"]:
        assert comparison["ratio"] > 4
    else:  # a busy machine: then that is said, and nothing is claimed
        assert comparison["answer"] == "not comparable"
        assert comparison["reasons"]


@pytest.mark.parametrize("scenario", ["cold", "throughput"])
def test_the_other_scenarios(scenario: str, kit: Path, tmp_path: Path) -> None:
    options = ("--target", "onnx", "--precision", "fp32", "--scenario", scenario, "--max-seconds", "1", "--json")
    row = only(edgekit("bench", kit, *options, cwd=tmp_path).document["results"])
    assert row["scenario"] == scenario
    if scenario == "throughput":
        assert row["throughput_per_s"] > 0
    else:
        assert row["first_ms"] > 0
        assert row["load_ms"] > 0


def test_bench_takes_a_file_outside_a_kit(kit: Path, digits: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(next((kit / "artifacts").glob("onnx-fp32-*/model.onnx")).read_bytes())
    without = edgekit("bench", plain, "--json", cwd=tmp_path)
    assert without.code == 2
    assert without.error["code"] == "no-samples"
    options = ("--data", digits / "test.npz", "--labels", "label", "--max-seconds", "0.5", "--batch", "4")
    assert only(edgekit("bench", plain, *options, "--json", cwd=tmp_path).document["results"])["batch"] == 4


def test_predict(kit: Path, digits: Path, tmp_path: Path) -> None:
    data = ("--data", digits / "test.npz", "--labels", "label", "--target", "tflite", "--precision", "int8")
    document = edgekit("predict", kit, *data, "-o", "made/out.npz", "--json", cwd=tmp_path).document
    assert document["schema"] == "edgekit.predict/1"
    assert document["samples"] == 719
    with np.load(tmp_path / "made" / "out.npz") as made, np.load(digits / "test.npz") as given:
        assert made.files == ["probs"]
        assert (made["probs"].argmax(axis=1) == given["label"]).mean() > 0.9


@pytest.mark.parametrize(("columns", "width"), [("", 110), ("80", 80)])
def test_what_goes_into_a_file_is_as_wide_as_asked_and_ends_without_blanks(columns: str, width: int, kit: Path) -> None:
    lines = edgekit("report", kit, cwd=kit, variables={"COLUMNS": columns}).out.splitlines()
    assert width - 30 < max(map(len, lines)) <= width
    assert not any(line.endswith(" ") for line in lines)


def test_report_inspect_and_doctor(kit: Path, tmp_path: Path) -> None:
    report = edgekit("report", kit, "-o", "report.md", "--json", cwd=tmp_path).document
    assert report["schema"].startswith("edgekit.report/")
    assert "tflite int8" in (tmp_path / "report.md").read_text()
    artifact = next((kit / "artifacts").glob("openvino-int8-*/model.xml"))
    inspection = edgekit("inspect", artifact, "--json", cwd=tmp_path).document
    assert inspection["schema"].startswith("edgekit.inspect/")
    doctor = edgekit("doctor", "--json", cwd=tmp_path).document
    assert doctor["schema"].startswith("edgekit.doctor/")


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_goes_to_the_terminal_behind_stderr(quiet: bool, kit: Path) -> None:
    master, slave = pty.openpty()
    words = [SCRIPT, "check", str(kit), "--target", "openvino", "--json", *(["--quiet"] if quiet else [])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=slave, env=environment({"TERM": "xterm"}))
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # Linux: the other side was closed
            break
        if not piece:
            break
        seen += piece
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0
    assert json.loads(out)["ok"] is True
    assert (b"check openvino int8" in seen) is not quiet
    assert bool(seen) is not quiet
