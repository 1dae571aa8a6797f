"""What ``edgekit check`` says of bad input: a sentence, what mends it, an exit code; and the kit stays as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import models
from tests.cli.command import Done, copied, edgekit, snapshot
from tests.cli.test_errors import HIDE

#: What the digits model takes.
IMAGE = "image=?x8x8x1:float32"


def refused(done: Done, exit_code: int, code: str) -> str:
    """The message of an error, with its hint."""
    assert done.code == exit_code, done.err
    assert done.error["code"] == code
    assert "Traceback" not in done.err
    return f"{done.error['message']} {done.error['hint']}"


@pytest.mark.parametrize("spoil", ["other", "truncated", "gone"])
def test_golden_samples_of_another_model(spoil: str, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    golden = kit / "golden.npz"
    if spoil == "other":
        arrays = {f"inputs/{name}": array for name, array in models.twin_inputs(4).items()}
        np.savez(golden, allow_pickle=False, **arrays)
    elif spoil == "truncated":
        golden.write_bytes(golden.read_bytes()[:100])
    else:
        golden.unlink()
    before = snapshot(kit)
    said = refused(edgekit("check", kit, "--json", cwd=tmp_path), 2, "no-golden")
    assert "Export the model again: edgekit export " in said
    assert snapshot(kit) == before


def bad_samples() -> dict[str, dict[str, np.ndarray]]:
    image = np.random.default_rng(0).random((6, 8, 8, 1), dtype=np.float32)
    return {
        "wrong-input-names": {"picture": image},
        "wrong-shape": {"image": image[:, :, :7]},
        "wrong-dtype": {"image": (image * 255).astype(np.uint8)},
        "not-finite": {"image": np.where(image > 0.99, np.nan, image)},
    }


@pytest.mark.parametrize("code", list(bad_samples()))
@pytest.mark.parametrize("which", ["kit", "file", "pair"])
def test_samples_that_do_not_fit(which: str, code: str, digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **bad_samples()[code])
    onnx, tflite = (next((digits_kit / "artifacts").glob(f"{name}-fp32-*/model.*")) for name in ("onnx", "tflite"))
    shutil.copy(onnx, tmp_path / "model.onnx")
    known: dict[str, tuple[str | Path, ...]] = {
        "kit": (digits_kit, "--target", "onnx"),
        "file": (tmp_path / "model.onnx", "--against", digits / "digits.keras"),
        "pair": (tmp_path / "model.onnx", "--against", Path(shutil.copy(tflite, tmp_path))),
    }
    before = snapshot(digits_kit)
    said = refused(edgekit("check", *known[which], "--data", "data.npz", "--json", cwd=tmp_path), 2, code)
    assert "image" in said
    assert snapshot(digits_kit) == before
    assert not (tmp_path / "edgekit-out").exists()


@pytest.mark.parametrize("name", ["onnx-fp32", "openvino-int8"])
def test_an_artifact_that_changed_since_its_manifest(name: str, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    changed = max((next((kit / "artifacts").glob(f"{name}-*"))).iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    before = snapshot(kit)
    for arguments in ((kit,), (changed.parent,), (changed.parent, "--against", digits_kit, "--target", "tflite")):
        said = refused(edgekit("check", *arguments, "--json", cwd=tmp_path), 2, "changed-artifact")
        assert changed.name in said
        assert ("edgekit quantize" if "int8" in name else "edgekit export") in said
    assert snapshot(kit) == before


Arguments = Callable[[Path, Path, Path], tuple[str | Path, ...]]


@pytest.mark.parametrize(
    ("hidden", "arguments", "extra"),
    [
        ("onnxruntime", lambda kit, stray, model: (kit, "--target", "onnx"), "onnxruntime"),
        ("ai_edge_litert", lambda kit, stray, model: (kit,), "tflite"),
        ("onnxruntime", lambda kit, stray, model: (stray, "--against", model), "onnxruntime"),
        ("keras", lambda kit, stray, model: (stray, "--against", model), "keras"),
        ("openvino", lambda kit, stray, model: (stray, "--against", artifact(kit, "openvino")), "openvino"),
    ],
)
def test_a_runtime_that_is_missing(
    hidden: str, arguments: Arguments, extra: str, digits: Path, digits_kit: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    stray = Path(shutil.copy(artifact(digits_kit, "onnx"), tmp_path / "model.onnx"))
    before = snapshot(digits_kit)
    words = arguments(digits_kit, stray, digits / "digits.keras")
    variables = {"PYTHONPATH": str(tmp_path), "HIDDEN": hidden}
    done = edgekit("check", *words, "--json", cwd=tmp_path, variables=variables)
    assert f"pip install 'edgekit[{extra}" in refused(done, 3, "missing-extra")
    assert snapshot(digits_kit) == before


def artifact(kit: Path, target: str) -> Path:
    entry = {"onnx": "model.onnx", "openvino": "model.xml", "tflite": "model.tflite"}[target]
    return next((kit / "artifacts").glob(f"{target}-fp32-*/{entry}"))


@pytest.mark.parametrize("hidden", ["keras", "onnx"])
def test_layers_that_cannot_be_looked_at_leave_the_verdict(hidden: str, digits_kit: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    kit = copied(digits_kit, tmp_path)
    variables = {"PYTHONPATH": str(tmp_path), "HIDDEN": hidden}
    options = ("--target", "onnx", "--precision", "fp32", "--layers", "--json")
    done = edgekit("check", kit, *options, cwd=tmp_path, variables=variables)
    assert done.code == 0, done.err
    (row,) = done.document["results"]
    assert row["verdict"] == "verified"
    assert row["layers"] == []
    (reason,) = [reason for reason in row["reasons"] if reason.startswith("its layers could not be compared: ")]
    assert f"needs the package {hidden}" in reason or f"needs {hidden}" in reason


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_a_source_that_is_not_there_any_more(change: str, digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit, model = copied(digits_kit, tmp_path), tmp_path / "digits.keras"
    manifest = json.loads((kit / "kit.json").read_text())
    manifest["source"]["path"] = str(model)
    (kit / "kit.json").write_text(json.dumps(manifest))
    if change == "changed":
        model.write_bytes((digits / "digits.keras").read_bytes() + b"\0")
    before = snapshot(kit)
    options = ("--target", "onnx", "--precision", "fp32", "--json")
    done = edgekit("check", kit, *options, "--data", digits / "test.npz", "--labels", "label", cwd=tmp_path)
    said = refused(done, 2, "source-changed")
    assert f"edgekit export {model} --target all" in said
    assert snapshot(kit) == before
    assert edgekit("check", kit, *options, cwd=tmp_path).code == 0, "golden samples travel without it"
    (row,) = edgekit("check", kit, *options, "--layers", cwd=tmp_path).document["results"]
    assert any("which is gone or has changed" in reason for reason in row["reasons"])


def test_against_something_that_is_no_model(digits_kit: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "junk.onnx").write_text("mine")
    onnx = artifact(digits_kit, "onnx")
    before = snapshot(digits_kit)
    for against, code in (
        ("nowhere.keras", "no-model-file"),
        ("nowhere.onnx", "no-such-path"),
        ("notes.txt", "unknown-model-kind"),
        ("junk.onnx", "unloadable-artifact"),
        (str(digits_kit), "several-artifacts"),
    ):
        said = refused(edgekit("check", onnx, "--against", against, "--json", cwd=tmp_path), 2, code)
        assert ("--against " in said) == (code == "several-artifacts")
    assert snapshot(digits_kit) == before
