"""``--runtime`` and ``--allow-fallback`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.devices.software_gpu import software_gpu
from edgekit.errors import MissingError
from tests.cli.command import edgekit
from tests.devices.running import absent

SOFTWARE = "local?gpu=software"


@pytest.fixture(scope="module")
def software() -> str:
    try:
        software_gpu()
    except MissingError as err:
        absent(f"{err.message} {err.hint}")
    return SOFTWARE


@pytest.mark.slow
def test_a_check_on_the_gpu_names_it_and_shows_the_stage(software: str, digits_kit: Path, tmp_path: Path) -> None:
    asked = ("--runtime", "tflite:GPU", "--runtime", "openvino", "--precision", "fp32")
    done = edgekit("check", digits_kit, "--device", software, *asked, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    rows = {row["runtime"]: row for row in json.loads(done.out)["results"]}
    assert set(rows) == {"tflite:GPU", "openvino"}, "onnxruntime was not asked for"
    assert rows["tflite:GPU"]["verdict"] == "verified"
    assert rows["tflite:GPU"]["effective"]["placement"] == {"value": "GPU", "how": "engine"}
    assert [stage["stage"] for stage in rows["tflite:GPU"]["stages"]] == ["export", "device"]
    assert rows["openvino"]["effective"]["placement"]["value"] == "CPU"


@pytest.mark.slow
def test_times_on_a_gpu_in_software_are_no_measure(software: str, digits_kit: Path, tmp_path: Path) -> None:
    asked = ("--runtime", "tflite:GPU", "--precision", "fp32", "--max-seconds", "1")
    done = edgekit("bench", digits_kit, "--device", software, *asked, "--json", cwd=tmp_path)
    (row,) = json.loads(done.out)["results"]
    assert (row["runtime"], row["verdict"]) == ("tflite:GPU", "weak")
    assert row["effective"]["placement"]["value"] == "GPU"
    assert any("not representative" in reason for reason in row["reasons"])


@pytest.mark.slow
def test_an_accelerator_that_is_missing_is_no_verdict(digits_kit: Path, tmp_path: Path) -> None:
    asked = ("check", digits_kit, "--runtime", "tflite:NPU", "--json")
    done = edgekit(*asked, cwd=tmp_path)
    assert done.code == 3
    assert json.loads(done.out)["error"]["code"] == "accelerator-missing"
    relaxed = edgekit(*asked, "--allow-fallback", "--precision", "fp32", cwd=tmp_path)
    assert relaxed.code == 0, relaxed.err
    (row,) = json.loads(relaxed.out)["results"]
    assert row["effective"]["placement"]["value"] == "CPU"
    assert row["runtime"] == "tflite:NPU", "what was asked for; the placement says what ran"


@pytest.mark.slow
def test_a_prediction_on_the_gpu(software: str, digits_kit: Path, digits: Path, tmp_path: Path) -> None:
    data = ("--data", digits / "test.npz", "--labels", "label", "--target", "tflite", "--precision", "fp32")
    done = edgekit(
        "predict", digits_kit, *data, "--device", software, "--runtime", "tflite:GPU", "--json", cwd=tmp_path
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["effective"]["placement"]["value"] == "GPU"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("--runtime", "tensorrt"), "unknown-runtime"),
        (("--runtime", "openvino:"), "bad-accelerator"),
        (("--runtime", "openvino:GPU?fast"), "bad-accelerator"),
        (("--allow-fallback",), "nothing-to-fall-back-from"),
        (("--runtime", "tflite", "--target", "onnx"), "nothing-for-this-runtime"),
    ],
)
def test_bad_runtimes_are_refused(asked: tuple[str, ...], code: str, digits_kit: Path, tmp_path: Path) -> None:
    done = edgekit("check", digits_kit, *asked, "--json", cwd=tmp_path)
    assert done.code == 2
    assert json.loads(done.out)["error"]["code"] == code
