"""``edgekit export``: options, and what happens when converters misbehave."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.command import copied, edgekit, snapshot
from tests.cli.planted import plant, route


def only(document: dict[str, Any]) -> dict[str, Any]:
    (row,) = document["artifacts"]
    return dict(row)


def test_the_document_tells_what_was_made_and_how(digits: Path, tmp_path: Path) -> None:
    done = edgekit("export", digits / "digits.keras", "--json", cwd=tmp_path)
    document = done.document
    assert done.code == 0
    assert document["schema"] == "edgekit.export/1"
    assert document["verdict"] == "verified"
    assert document["evidence"]["inputs"] == "generated"
    assert [row["target"] for row in document["artifacts"]] == ["onnx", "openvino", "tflite"]
    for row in document["artifacts"]:
        assert {"path", "size_bytes", "sha256", "route", "reasons", "parity", "accuracy"} <= set(row)
        assert (tmp_path / row["path"]).is_file()
        assert row["attempts"][-1]["outcome"] == "accepted"
        assert row["attempts"][-1]["route"] == row["route"]
        (output,) = row["parity"]["outputs"]
        assert 0 < output["max_abs"] <= output["tolerance"]
    assert document["kit"] == "edgekit-out/digits"
    assert done.err == ""


def test_real_samples_are_kept_for_later_exports(digits: Path, tmp_path: Path) -> None:
    command = ("export", digits / "digits.keras", "--target", "openvino", "-o", "kit", "--json")
    data = ("--data", digits / "test.npz", "--labels", "label")
    assert edgekit(*command, *data, cwd=tmp_path).document["evidence"]["inputs"] == "real"
    golden = (tmp_path / "kit" / "golden.npz").read_bytes()
    assert edgekit(*command, cwd=tmp_path).document["evidence"]["inputs"] == "real"
    assert (tmp_path / "kit" / "golden.npz").read_bytes() == golden


def test_a_pinned_size_is_what_the_artifact_takes(tmp_path: Path, digits: Path) -> None:
    command = ("export", digits / "digits.keras", "--target", "openvino", "--json")
    document = edgekit(*command, "--input", "image=2x8x8x1", cwd=tmp_path).document
    assert document["evidence"]["shapes"] == ["image=2x8x8x1"]
    assert document["source"]["signature"]["inputs"][0]["shape"] == [2, 8, 8, 1]


def test_an_opset_is_what_the_file_declares(tmp_path: Path, digits: Path) -> None:
    import onnx

    command = ("export", digits / "digits.keras", "--target", "onnx", "--opset", "19", "--json")
    row = only(edgekit(*command, cwd=tmp_path).document)
    assert [one.version for one in onnx.load(tmp_path / row["path"]).opset_import if not one.domain] == [19]


def test_a_plain_copy_runs_with_its_engine_alone(digits: Path, tmp_path: Path) -> None:
    done = edgekit(
        "export", digits / "digits.keras", "--target", "openvino", "-o", "out/plain.xml", "--json", cwd=tmp_path
    )
    assert done.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"plain.xml", "plain.bin"}
    import openvino

    model = openvino.Core().compile_model(str(tmp_path / "out" / "plain.xml"), "CPU")
    with np.load(digits / "test.npz") as arrays:
        scores = next(iter(model(arrays["image"]).values()))
        assert (scores.argmax(axis=1) == arrays["label"]).mean() > 0.9


def test_only_the_route_that_was_named_is_tried(digits: Path, tmp_path: Path) -> None:
    command = ("export", digits / "digits.keras", "--target", "openvino", "--json")
    row = only(edgekit(*command, "--route", "keras@jax>onnx>openvino", cwd=tmp_path).document)
    assert [attempt["route"] for attempt in row["attempts"]] == ["keras@jax>onnx>openvino"]


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_only_the_backend_that_was_named_is_used(digits: Path, tmp_path: Path) -> None:
    command = ("export", digits / "digits.keras", "--target", "onnx", "--backend", "torch", "--json")
    document = edgekit(*command, cwd=tmp_path).document
    assert only(document)["route"] == "keras@torch>onnx"
    assert document["source"]["backend"] == "torch"


@pytest.fixture(scope="module")
def fallen(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An export past four converters that misbehave."""
    folder = tmp_path_factory.mktemp("fallen")
    variables = plant(folder / "site", "raising", "crashing", "unreadable", "wrong")
    command = ("export", digits / "digits.keras", "--target", "openvino", "--json")
    done = edgekit(*command, cwd=folder, variables=variables)
    assert done.code == 0, done.err
    return only(done.document)


@pytest.mark.parametrize(
    ("kind", "outcome", "reason"),
    [
        ("raising", "failed", "RuntimeError: the layer Sparkle is not supported"),
        ("crashing", "crashed", "SIGSEGV"),
        ("unreadable", "unrunnable", "openvino"),
        ("wrong", "rejected", "the largest difference"),
    ],
)
def test_a_converter_that_misbehaves_is_told_and_passed_over(
    kind: str, outcome: str, reason: str, fallen: dict[str, Any]
) -> None:
    (attempt,) = [one for one in fallen["attempts"] if one["route"] == route(kind)]
    assert attempt["outcome"] == outcome
    assert reason in attempt["reason"]


def test_the_route_after_them_is_accepted(fallen: dict[str, Any]) -> None:
    assert fallen["verdict"] == "verified"
    assert fallen["attempts"][-1]["outcome"] == "accepted"
    assert len(fallen["attempts"]) == 5


@pytest.mark.slow
def test_a_converter_that_hangs_is_stopped_and_passed_over(digits: Path, tmp_path: Path) -> None:
    variables = {**plant(tmp_path / "site", "hanging"), "EDGEKIT_JOB_TIMEOUT_S": "15"}
    command = ("export", digits / "digits.keras", "--target", "openvino", "--json")
    attempts = only(edgekit(*command, cwd=tmp_path, variables=variables).document)["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["timeout", "accepted"]
    assert "15 s" in attempts[0]["reason"]


@pytest.mark.parametrize(("kind", "verdict"), [("wrong", "failed"), ("raising", "error")])
def test_without_any_good_route_the_old_kit_stays_as_it_was(
    kind: str, verdict: str, digits: Path, digits_kit: Path, tmp_path: Path
) -> None:
    kit = copied(digits_kit, tmp_path)
    before = snapshot(kit)
    command = ("export", digits / "digits.keras", "--target", "openvino", "--route", route(kind), "-o", kit, "--json")
    done = edgekit(*command, cwd=tmp_path, variables=plant(tmp_path / "site", kind))
    assert done.code == 1
    assert done.document["verdict"] == verdict
    row = only(done.document)
    assert row["path"] is None
    assert route(kind) in row["reasons"][0]
    assert snapshot(kit) == before


def test_a_plain_copy_is_not_written_when_no_route_is_good(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    command = ("export", digits / "digits.keras", "--target", "openvino", "--route", route("raising"))
    done = edgekit(*command, "-o", "plain.xml", "--json", cwd=tmp_path, variables=plant(tmp_path / "site", "raising"))
    assert done.code == 1
    assert not list(tmp_path.glob("plain*"))
    assert not (tmp_path / "edgekit-out").exists()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras with NumPy 2
def test_a_new_version_of_the_model_starts_a_new_generation(digits: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    command = ("export", model, "--target", "openvino", "-o", "kit", "--json")
    model.write_bytes((digits / "digits.keras").read_bytes())
    first = only(edgekit(*command, cwd=tmp_path).document)
    other_weights(model)
    second = only(edgekit(*command, cwd=tmp_path).document)
    manifest = json.loads((tmp_path / "kit" / "kit.json").read_text())
    assert manifest["generation"] == 2
    assert second["sha256"] != first["sha256"]
    assert len(list((tmp_path / "kit" / "artifacts").iterdir())) == 1
    assert len(manifest["results"]) == 2


def other_weights(path: Path) -> None:
    """Scale the last layer of a saved model."""
    import keras

    model = keras.models.load_model(path)
    model.layers[-1].set_weights([weight * 0.5 for weight in model.layers[-1].get_weights()])
    model.save(path)
