"""``edgekit run``: the whole path, as a user meets it first."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.command import Done, copied, edgekit

SIX = {f"{target} {precision}" for target in ("onnx", "openvino", "tflite") for precision in ("fp32", "int8")}


@pytest.fixture(scope="module")
def result(digits_run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((digits_run / "out.json").read_text())
    return document


def again(kit: Path, digits: Path, *options: str | Path, data: Path | None = None) -> Done:
    """The same command as the one that made the kit."""
    command = (
        "run",
        digits / "digits.keras",
        "--data",
        data or digits / "train.npz",
        "--eval-data",
        digits / "test.npz",
    )
    quick = ("--max-seconds", "1", "--trials", "1")
    return edgekit(*command, "--labels", "label", *quick, "-o", kit, "--json", *options, cwd=kit.parent)


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {f"{row['target']} {row['precision']}" for row in rows}


def test_the_document_holds_every_list(result: dict[str, Any]) -> None:
    assert result["schema"] == "edgekit.run/1"
    assert result["ok"] is True
    assert result["verdict"] in ("verified", "weak")
    evidence = {key: result["evidence"][key] for key in ("inputs", "samples", "shapes")}
    assert evidence == {"inputs": "real", "samples": 719, "shapes": ["image=1x8x8x1", "image=3x8x8x1"]}
    assert {"artifacts", "checks", "latency", "recommendation", "warnings", "source", "kit"} <= set(result)
    assert result["cached"] is False


def test_six_artifacts_run_and_agree_with_the_source(result: dict[str, Any], digits_run: Path) -> None:
    assert names(result["artifacts"]) == names(result["checks"]) == names(result["latency"]) == SIX
    for row in result["artifacts"]:
        assert row["verdict"] in ("verified", "weak"), row["reasons"]
        assert Path(row["path"]).is_file()
        (output,) = row["parity"]["outputs"]
        assert output["sqnr_db"] > (80 if row["precision"] == "fp32" else 20)
        assert output["top1_agreement"] > 0.97


def test_int8_is_smaller_than_what_it_was_made_from(result: dict[str, Any]) -> None:
    size = {(row["target"], row["precision"]): row["size_bytes"] for row in result["artifacts"]}
    assert all(size[target, "int8"] < 0.8 * size[target, "fp32"] for target in ("onnx", "openvino", "tflite"))


def test_accuracy_stands_beside_that_of_the_source(result: dict[str, Any], digits: Path) -> None:
    labels = np.load(digits / "test.npz")["label"]
    for row in result["checks"]:
        accuracy = row["accuracy"]
        assert accuracy["samples"] == len(labels)
        assert accuracy["source_value"] > 0.9
        assert accuracy["drop"] == pytest.approx(accuracy["source_value"] - accuracy["value"], abs=1e-6)
        low, high = accuracy["drop_ci95"]
        assert low <= accuracy["drop"] <= high


def test_the_fixed_batch_of_tflite_is_told(result: dict[str, Any]) -> None:
    told = {row["target"] for row in result["artifacts"] if any("batch fixed to 1" in text for text in row["reasons"])}
    assert told == {"tflite"}


def test_one_artifact_is_recommended_with_a_reason(result: dict[str, Any]) -> None:
    chosen = result["recommendation"]
    assert chosen["artifact"] in SIX
    assert Path(chosen["path"]).is_file()
    timed = {f"{row['target']} {row['precision']}": row["latency_ms"]["p50"] for row in result["latency"]}
    assert f"{timed[chosen['artifact']]:.3g} ms" in chosen["reason"]
    assert "accuracy" in chosen["reason"]


def test_quantized_artifacts_say_whether_they_pay(result: dict[str, Any]) -> None:
    for row in result["latency"]:
        assert bool(row["pays"]) is (row["precision"] == "int8")
        assert all(one["answer"] in ("yes", "no", "not shown") for one in row["pays"])


def test_the_report_needs_nothing_from_elsewhere(result: dict[str, Any]) -> None:
    page = Path(result["report"]).read_text()
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//|@import|url\(""", page)
    for name in SIX:
        assert name in page


def test_nothing_but_the_document_is_printed(digits_run: Path) -> None:
    assert (digits_run / "err.txt").read_text() == ""


def test_a_second_run_shows_the_stored_figures(result: dict[str, Any], digits_kit: Path, digits: Path) -> None:
    second = again(digits_kit, digits).document
    assert second.pop("cached") is True
    first = {key: value for key, value in result.items() if key != "cached"}
    assert second == first


def test_a_second_run_says_in_words_that_it_is_stored(digits_kit: Path, digits: Path) -> None:
    command = ("run", digits / "digits.keras", "--data", digits / "train.npz", "--eval-data", digits / "test.npz")
    quick = ("--max-seconds", "1", "--trials", "1")
    done = edgekit(*command, "--labels", "label", *quick, "-o", digits_kit, cwd=digits)
    assert done.code == 0
    assert "Stored result" in done.out
    assert "recommendation" in done.out


@pytest.fixture(scope="module")
def small(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit with one artifact that is quick to make again."""
    kit = tmp_path_factory.mktemp("small") / "kit"
    done = edgekit("run", digits / "digits.keras", *SMALL, "-o", kit, "--json", cwd=digits)
    assert names(done.document["artifacts"]) == {"tflite fp32"}
    return kit


SMALL = ("--target", "tflite", "--max-seconds", "0.5")


def test_a_precision_that_was_asked_for_is_not_skipped(digits: Path, tmp_path: Path) -> None:
    done = edgekit("run", digits / "digits.keras", *SMALL, "--precision", "int8", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.document["error"]["code"] == "no-calibration-data"


def test_a_precision_that_needs_data_is_skipped_with_a_warning_where_nobody_asked_for_it(
    small: Path, digits: Path
) -> None:
    stored = edgekit("run", digits / "digits.keras", *SMALL, "-o", small, "--json", cwd=digits).document
    assert stored["cached"] is True
    assert stored["warnings"] == ["tflite int8 was skipped: it needs real samples, see --data."]
    assert stored["evidence"]["inputs"] == "generated"


@pytest.mark.parametrize(
    "change", [("--threads", "1"), ("--fresh",), ("--precision", "int8-dynamic")], ids=["option", "fresh", "precision"]
)
def test_a_changed_command_measures_again(change: tuple[str, ...], small: Path, digits: Path, tmp_path: Path) -> None:
    kit = copied(small, tmp_path)
    done = edgekit("run", digits / "digits.keras", *SMALL, *change, "-o", kit, "--json", cwd=digits)
    assert done.document["cached"] is False
    assert (kit / "report.html").stat().st_mtime > (small / "report.html").stat().st_mtime


def test_changed_data_are_measured_again_but_a_newer_date_alone_is_not(digits: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    with np.load(digits / "train.npz") as arrays:
        image = arrays["image"]
    command = ("run", digits / "digits.keras", *SMALL, "--eval-data", data, "-o", tmp_path / "kit", "--json")
    np.savez(data, image=image[:40])
    assert edgekit(*command, cwd=tmp_path).document["cached"] is False
    data.touch()
    assert edgekit(*command, cwd=tmp_path).document["cached"] is True
    np.savez(data, image=image[40:80])
    assert edgekit(*command, cwd=tmp_path).document["cached"] is False


def test_a_changed_artifact_is_made_again(small: Path, digits: Path, tmp_path: Path) -> None:
    kit = copied(small, tmp_path)
    artifact = next(kit.rglob("model.tflite"))
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"?")
    command = ("run", digits / "digits.keras", *SMALL, "-o", kit, "--json")
    assert edgekit(*command, cwd=digits).document["cached"] is False
    assert edgekit("check", kit, "--json", cwd=digits).document["ok"] is True


def test_only_what_was_asked_for_is_made_in_a_kit_that_holds_more(
    digits_kit: Path, digits: Path, tmp_path: Path
) -> None:
    kit = copied(digits_kit, tmp_path)
    options = ("--target", "tflite", "--precision", "fp16", "--max-seconds", "0.5")
    done = edgekit("run", digits / "digits.keras", *options, "-o", kit, "--json", cwd=tmp_path).document
    assert names(done["artifacts"]) == names(done["checks"]) == names(done["latency"]) == {"tflite fp32", "tflite fp16"}
    kept = json.loads((kit / "kit.json").read_text())["artifacts"]
    assert names(kept) == SIX | {"tflite fp16"}


def test_a_project_file_says_it_all(digits: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    shutil.copy(digits / "digits.keras", project / "models")
    text = 'model = ["models/digits.keras"]\ntarget = "tflite"\nprecision = []\nmax-seconds = 0.5\noutput = "made"\n'
    (project / "edgekit.toml").write_text(text)
    done = edgekit("run", "--json", cwd=project)
    assert names(done.document["artifacts"]) == {"tflite fp32"}
    elsewhere = edgekit("run", "project/edgekit.toml", "--json", cwd=tmp_path)
    assert (project / "made" / "kit.json").is_file()
    assert elsewhere.document["kit"] == "project/made"


def test_several_models_give_one_document(small: Path, digits: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copy(digits / "digits.keras", tmp_path / f"{name}.keras")
    done = edgekit(
        "run", "one.keras", "two.keras", "--target", "tflite", "--max-seconds", "0.5", "--json", cwd=tmp_path
    )
    document = done.document
    assert document["schema"] == "edgekit.runs/1"
    assert [run["kit"] for run in document["runs"]] == ["edgekit-out/one", "edgekit-out/two"]
    assert document["verdict"] in ("verified", "weak")


def test_a_slip_in_the_second_name_costs_no_time(digits: Path, tmp_path: Path) -> None:
    shutil.copy(digits / "digits.keras", tmp_path / "one.keras")
    done = edgekit("run", "one.keras", "twoo.keras", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "no-model-file"
    assert not (tmp_path / "edgekit-out").exists()
