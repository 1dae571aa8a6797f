"""Models with code of the user's own, by the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.command import edgekit

GAN = Path(__file__).parents[2] / "examples" / "gan" / "gan.py"

MODELS = """
import keras
from keras import layers, ops

class Energy(layers.Layer):
    def call(self, x):
        return ops.svd(x, compute_uv=False)

x = keras.Input((4,), name="x")
keras.Model(x, layers.Dense(3)(layers.Lambda(lambda t: ops.sin(t), name="wave")(x))).save("lambda.keras")
keras.Sequential([keras.Input((4,), name="x"), layers.Dense(3)]).save("plain.keras")
y = keras.Input((4, 4), name="y")
keras.Model(y, layers.Dense(2)(Energy(name="energy")(y))).save("svd.keras")
"""

LAYERS = """
from keras import layers, ops

class Energy(layers.Layer):
    def call(self, x):
        return ops.svd(x, compute_uv=False)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("custom")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", MODELS], check=True, env=env, cwd=folder)
    (folder / "energy.py").write_text(LAYERS)
    return folder


@pytest.mark.slow
def test_the_generator_of_a_trained_gan_is_exported(tmp_path: Path) -> None:
    """As the example says, with a training step of its own, on the torch backend."""
    shutil.copy(GAN, tmp_path)
    env = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, "gan.py"], check=True, env=env, cwd=tmp_path)
    custom = ("gan.keras", "--custom-objects", "gan.py")

    whole = edgekit("export", *custom, "--json", "--submodel", "critic", cwd=tmp_path)
    assert (whole.code, whole.error["code"]) == (2, "no-such-submodel")
    assert whole.error["hint"] == "It holds: discriminator, generator."

    done = edgekit("export", *custom, "--json", "--submodel", "generator", cwd=tmp_path)
    assert done.code == 0
    assert {row["target"]: row["verdict"] for row in done.document["artifacts"]} == dict.fromkeys(
        ("onnx", "openvino", "tflite"), "verified"
    )
    assert (tmp_path / "edgekit-out" / "gan-generator" / "kit.json").is_file()


@pytest.mark.slow
def test_a_lambda_is_exported_only_when_its_code_is_trusted(folder: Path, tmp_path: Path) -> None:
    model = folder / "lambda.keras"
    refused = edgekit("export", model, "--json", cwd=tmp_path)
    assert (refused.code, refused.error["code"], refused.error["received"]) == (2, "lambda-layer", "layer wave")
    assert "--trust-code" in refused.error["hint"]
    assert not (tmp_path / "edgekit-out").exists()

    done = edgekit("export", model, "--target", "onnx", "--trust-code", "--json", cwd=tmp_path)
    assert done.document["artifacts"][0]["verdict"] == "verified"


@pytest.mark.slow
def test_what_no_route_converts_is_named_for_each_route(folder: Path, tmp_path: Path) -> None:
    custom = (folder / "svd.keras", "--custom-objects", folder / "energy.py", "--target", "tflite")
    done = edgekit("export", *custom, "--json", cwd=tmp_path)
    assert done.code == 1
    (row,) = done.document["artifacts"]
    assert row["path"] is None
    tried = [attempt["reason"] for attempt in row["attempts"] if attempt["outcome"] != "missing"]
    assert tried
    assert all("svd" in reason.lower() or "cannot read" in reason for reason in tried)
    assert any("layer Energy (energy.py, line " in reason for reason in tried)

    shown = edgekit("export", *custom, "--quiet", cwd=tmp_path, variables={"COLUMNS": "120"})
    assert "No route made tflite fp32" in shown.out
    assert "At fault" in shown.out


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--input", "x=?x4x4", "wrong-pin"),
        ("--input", "x=?x5", "wrong-pin"),
        ("--input", "x=?x4:int32", "contradictory-input"),
        ("--input", "picture=?x4", "unknown-input"),
        ("--input", "x=4,4", "bad-input-option"),
        ("--custom-objects", "nowhere.py", "no-such-code"),
        ("--submodel", "generator", "no-such-submodel"),
    ],
)
def test_options_that_contradict_the_model_are_refused(
    folder: Path, tmp_path: Path, option: str, value: str, code: str
) -> None:
    done = edgekit("export", folder / "plain.keras", option, value, "--json", cwd=tmp_path)
    assert (done.code, done.error["code"]) == (2, code)
    assert not (tmp_path / "edgekit-out").exists()


def test_one_input_given_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    done = edgekit("export", folder / "plain.keras", "--input", "x=?x4", "--input", "x=2x4", "--json", cwd=tmp_path)
    assert (done.code, done.error["code"], done.error["received"]) == (2, "bad-input-option", "x=2x4")


def test_files_that_are_no_keras_archive_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "plain.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "old.keras").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    for name in ("cut", "old", "other"):
        done = edgekit("export", f"{name}.keras", "--json", cwd=tmp_path)
        assert (done.code, done.error["code"]) == (2, "not-a-model"), name


def test_options_without_use_are_refused(tmp_path: Path) -> None:
    (tmp_path / "zoo.py").write_text("def model(): ...\n")
    for option in (("--custom-objects", "zoo.py"), ("--trust-code",)):
        done = edgekit("export", "zoo.py:model", *option, "--json", cwd=tmp_path)
        assert (done.code, done.error["code"]) == (2, "option-without-use")
