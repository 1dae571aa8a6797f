"""What a user is told when something is wrong: one plain sentence, what mends it, and an exit code."""

from __future__ import annotations

import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import copied, edgekit, snapshot

#: Hides packages from `importlib`, as if they had not been installed.
HIDE = """
import os, sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = os.environ["HIDDEN"].split(",")
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
"""


def bad_models(digits: Path) -> dict[str, Callable[[Path], object]]:
    whole = (digits / "digits.keras").read_bytes()
    return {
        "missing": lambda path: None,
        "truncated": lambda path: path.write_bytes(whole[: len(whole) // 2]),
        "text": lambda path: path.write_text("weights: lots"),
        "empty": lambda path: path.write_bytes(b""),
        "folder": lambda path: path.mkdir(),
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "no-model-file"),
        ("truncated", "not-a-model"),
        ("text", "not-a-model"),
        ("empty", "not-a-model"),
        ("folder", "unknown-model-kind"),
    ],
)
def test_a_model_that_cannot_be_read(kind: str, code: str, digits: Path, tmp_path: Path) -> None:
    bad_models(digits)[kind](tmp_path / "model.keras")
    done = edgekit("export", "model.keras", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == code
    assert "Traceback" not in done.err
    assert not (tmp_path / "edgekit-out").exists()


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    done = edgekit("export", "model.keras", "--debug", cwd=tmp_path)
    assert done.code == 2
    assert "Traceback" in done.err
    assert "ModelError" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--target", "coreml"), "unknown-target"),
        (("--backend", "theano"), "unknown-backend"),
        (("--route", "keras@jax>onnx", "--target", "tflite"), "no-route"),
        (("--opset", "17", "--target", "tflite"), "opset-without-onnx"),
        (("--input", "image:8x8"), "bad-input-option"),
        (("--input", "image=?x8x8x1:int8"), "contradictory-input"),
        (("--labels", "label"), "labels-without-data"),
        (("-o", "model.onnx", "--target", "tflite"), "wrong-output"),
    ],
)
def test_an_option_that_cannot_be(arguments: tuple[str, ...], code: str, digits: Path, tmp_path: Path) -> None:
    done = edgekit("export", digits / "digits.keras", *arguments, "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == code
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("quantize", "KIT"), "no-calibration-data"),
        (("quantize", "KIT", "--data", "DATA", "--labels", "label", "--precision", "int3"), "unknown-precision"),
        (("quantize", "KIT", "--target", "openvino", "--precision", "int8-dynamic"), "unknown-precision"),
        (("quantize", "KIT", "--data", "DATA", "--labels", "label", "--metric", "f2"), "unknown-metric"),
        (("quantize", "KIT", "--data", "DATA", "--max-drop", "0.01"), "drop-without-labels"),
        (("quantize", "KIT", "--precision", "fp16", "--labels", "label"), "labels-without-data"),
        (("quantize", "KIT", "--precision", "fp16", "--target", "onnx", "--io", "int8"), "io-not-supported"),
        (("check", "KIT", "--tolerance", "-1"), "bad-tolerance"),
        (("check", "KIT", "--labels", "label"), "labels-without-data"),
        (("check", "KIT", "--max-drop", "0.1"), "drop-without-labels"),
        (("check", "KIT", "--device", "toaster"), "unknown-device"),
        (("check", "KIT", "--target", "onnx", "--precision", "fp16"), "nothing-selected"),
        (("check", "DATA"), "not-an-artifact"),
        (("check", "nowhere"), "no-such-path"),
        (("bench", "KIT", "--scenario", "sprint"), "bad-setting"),
        (("bench", "KIT", "--cpus", "5000"), "no-such-cpu"),
        (("bench", "KIT", "--cpus", "some"), "bad-cpus"),
        (("bench", "KIT", "--threads", "100000"), "too-many-threads"),
        (("bench", "KIT", "--streams", "2"), "streams-without-throughput"),
        (("bench", "KIT", "--target", "tflite", "--batch", "4"), "fixed-batch"),
        (("bench", "KIT", "--input", "image=1x9x9x1"), "wrong-pin"),
        (("bench", "KIT", "--max-seconds", "0"), "bad-setting"),
        (("bench", "KIT", "--max-regression", "5%"), "regression-without-baseline"),
        (("bench", "KIT", "--baseline", "DATA", "--max-regression", "a lot"), "bad-share"),
        (("bench", "KIT", "--baseline", "KIT/kit.json"), "bad-result"),
        (("compare", "KIT", "KIT/kit.json"), "bad-result"),
        (("compare", "nowhere", "KIT"), "no-such-path"),
        (("compare", "KIT", "KIT", "--max-seconds", "0"), "bad-setting"),
        (("compare", "KIT", "KIT", "--scenario", "sprint"), "bad-setting"),
        (("compare", "KIT", "KIT", "--max-regression", "-5%"), "bad-share"),
        (("compare", "KIT", "KIT", "-o", "summary.txt"), "unknown-report-format"),
        (("compare", "KIT", "KIT", "--device", "toaster"), "unknown-device"),
        (("predict", "KIT", "--data", "DATA", "--labels", "label"), "several-artifacts"),
        (("run", "--json"), "no-project"),
        (("run", "MODEL", "--max-drop", "0.01"), "drop-without-labels"),
        (("run", "MODEL", "--precision", "int3"), "unknown-precision"),
        (("run", "MODEL", "--max-seconds", "-1"), "bad-setting"),
        (("run", "MODEL", "MODEL", "-o", "one"), "one-output"),
        (("inspect", "DATA"), "unknown-model-kind"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_command_that_cannot_be(
    arguments: tuple[str, ...], code: str, digits: Path, digits_kit: Path, tmp_path: Path
) -> None:
    known = {"KIT": str(digits_kit), "DATA": str(digits / "train.npz"), "MODEL": str(digits / "digits.keras")}
    words = [known.get(word, word.replace("KIT/", f"{digits_kit}/")) for word in arguments]
    before = snapshot(digits_kit)
    done = edgekit(*words, *([] if "--json" in words else ["--json"]), cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == code
    assert "Traceback" not in done.err
    assert snapshot(digits_kit) == before


def bad_data() -> dict[str, dict[str, np.ndarray]]:
    image = np.random.default_rng(0).random((6, 8, 8, 1), dtype=np.float32)
    spoiled = image.copy()
    spoiled[4, 3, 3, 0] = np.nan
    return {
        "name": {"picture": image},
        "shape": {"image": image[:, :, :7]},
        "dtype": {"image": image.astype(np.int64)},
        "nan": {"image": spoiled},
        "empty": {"image": image[:0]},
        "lengths": {"image": image, "label": np.zeros(5, dtype=np.int64)},
        "no-label": {"image": image},
        "pickled": {"image": np.array([{"a": 1}] * 6, dtype=object)},
    }


@pytest.mark.parametrize(
    ("kind", "code", "expected", "received"),
    [
        ("name", "wrong-input-names", "image=?x8x8x1:float32", "picture"),
        ("shape", "wrong-shape", "image=?x8x8x1:float32", "6x8x7x1"),
        ("dtype", "wrong-dtype", "float32", "int64"),
        ("nan", "not-finite", "sample 4", "1 such"),
        ("empty", "wrong-lengths", "at least one", "0"),
        ("lengths", "wrong-lengths", "same number", "image: 6, labels: 5"),
        ("no-label", "no-labels", "--labels", "label"),
        ("pickled", "not-an-array-file", "pickled", ""),
    ],
)
def test_calibration_data_that_do_not_fit(
    kind: str, code: str, expected: str, received: str, digits_kit: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=True, **bad_data()[kind])
    labels = ("--labels", "label") if kind in ("lengths", "no-label") else ()
    command = ("quantize", digits_kit, "--target", "onnx", "--data", "data.npz", *labels, "--json")
    done = edgekit(*command, cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == code
    assert expected in done.error["message"]
    assert received in (done.error["received"] or "")


def test_a_data_file_that_is_no_archive(digits_kit: Path, tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(pickle.dumps([1, 2, 3]))
    done = edgekit("quantize", digits_kit, "--data", "data.npz", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "not-an-array-file"


@pytest.mark.parametrize(
    ("hidden", "arguments", "extra"),
    [
        ("keras", ("export", "MODEL"), "keras,export-openvino"),
        ("jax,torch,onnx", ("export", "MODEL", "--target", "onnx"), "export-openvino,export-onnx"),
        ("litert_converter,litert_torch,tensorflow", ("export", "MODEL", "--target", "tflite"), "export-tflite"),
        (
            "nncf",
            ("quantize", "KIT", "--target", "onnx", "--data", "DATA", "--labels", "label"),
            "quantize,onnxruntime",
        ),
        ("onnxruntime", ("check", "KIT", "--target", "onnx"), "onnxruntime"),
        ("openvino", ("bench", "KIT", "--target", "openvino"), "openvino"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_adds_it(
    hidden: str, arguments: tuple[str, ...], extra: str, digits: Path, digits_kit: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    known = {"KIT": str(digits_kit), "DATA": str(digits / "train.npz"), "MODEL": str(digits / "digits.keras")}
    words = [known.get(word, word) for word in arguments]
    variables = {"PYTHONPATH": str(tmp_path), "HIDDEN": hidden}
    done = edgekit(*words, "--json", cwd=tmp_path, variables=variables)
    assert done.code == 3
    assert done.error["code"] == "missing-extra"
    assert done.error["hint"] == f"Run: pip install 'edgekit[{extra}]'"


@pytest.fixture
def namespace() -> list[str]:
    """A program that runs a shell script where it may mount file systems."""
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let users make namespaces")
    return prefix


@pytest.mark.parametrize(
    ("options", "code", "said"), [("size=64k", "no-space", "no space"), ("ro", "no-permission", "read-only")]
)
def test_a_disk_that_takes_nothing(
    options: str, code: str, said: str, namespace: list[str], digits: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    script = f'mount -t tmpfs -o {options} none disk && exec "$@"'
    command = ("export", digits / "digits.keras", "--target", "openvino", "-o", "disk/kit", "--json")
    done = edgekit(*command, cwd=tmp_path, prefix=[*namespace, script, "sh"])
    assert done.code == 2, done.err
    assert done.error["code"] == code
    assert said in done.error["message"]


def test_a_file_in_the_way_is_told_before_any_work(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "kit").write_text("mine")
    done = edgekit("export", digits / "digits.keras", "-o", "kit", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "no-permission"
    assert (tmp_path / "kit").read_text() == "mine"


def test_a_folder_with_other_files_is_left_alone(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("mine")
    done = edgekit("export", digits / "digits.keras", "-o", "thesis", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "not-a-kit"


def test_a_kit_of_another_source_is_kept_until_replace_is_given(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    before = snapshot(kit)
    other = tmp_path / "digits.keras"  # the same name elsewhere, and other bytes
    other.write_bytes((digits / "digits.keras").read_bytes() + b"\0")
    command = ("export", other, "--target", "openvino", "-o", kit, "--json")
    done = edgekit(*command, cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "other-source"
    assert str(digits / "digits.keras") in done.error["message"]
    assert snapshot(kit) == before
    replaced = edgekit(*command, "--replace", cwd=tmp_path)
    assert replaced.code == 0, replaced.err
    assert len(list((kit / "artifacts").iterdir())) == 1


def test_a_changed_artifact_is_refused_and_made_again(digits: Path, digits_kit: Path, tmp_path: Path) -> None:
    kit = copied(digits_kit, tmp_path)
    artifact = next((kit / "artifacts").glob("openvino-fp32-*/model.bin"))
    artifact.write_bytes(artifact.read_bytes()[:-4] + b"\1\2\3\4")
    done = edgekit("check", kit, "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.error["code"] == "changed-artifact"
    assert str(artifact) in done.error["message"]
    assert edgekit("export", digits / "digits.keras", "--target", "openvino", "-o", kit, cwd=tmp_path).code == 0
    assert edgekit("check", kit, "--target", "openvino", "--precision", "fp32", cwd=tmp_path).code == 0


def test_a_project_file_with_a_slip(tmp_path: Path) -> None:
    for text, said in (
        ("model = 'm.keras'\nlables = 'y'", "lables"),
        ("model = 'm.keras'\nthreads = 'two'", "'two'"),
        ("target = 'onnx'", "names no model"),
        ("model = ", "no TOML"),
    ):
        (tmp_path / "edgekit.toml").write_text(text)
        done = edgekit("run", "--json", cwd=tmp_path)
        assert done.code == 2
        assert done.error["code"] == "bad-project"
        assert said in done.err


def test_an_unknown_option_names_it(tmp_path: Path) -> None:
    done = edgekit("export", "m.keras", "--tarket", "onnx", cwd=tmp_path)
    assert done.code == 2
    assert "--tarket" in done.err
    assert "Traceback" not in done.err
