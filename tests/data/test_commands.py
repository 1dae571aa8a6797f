"""Every form goes through the commands, and bad samples leave the kit as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.cli.command import copied, edgekit, snapshot

pytestmark = pytest.mark.slow

COUNT = 60


@pytest.fixture(scope="module")
def folder(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some test images in every form, by hand of the same arrays."""
    folder = tmp_path_factory.mktemp("forms")
    with np.load(digits / "test.npz") as stored:
        images, labels = stored["image"], stored["label"]
    for number, (image, label) in enumerate(zip(images[:COUNT], labels[:COUNT], strict=True)):
        path = folder / "images" / str(label) / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image[..., 0] * 255).round().astype(np.uint8)).save(path)
    columns = {f"p{index:02}": images[:COUNT].reshape(COUNT, -1)[:, index] for index in range(64)}
    pl.DataFrame({"label": labels[:COUNT], **columns}).write_csv(folder / "table.csv")
    np.savez(folder / "first.npz", image=images[:COUNT], label=labels[:COUNT])
    np.savez(folder / "bright.npz", image=images * 255, label=labels)
    shuffled = np.random.default_rng(0).permutation(labels)
    np.savez(folder / "shuffled.npz", image=images, label=shuffled)
    (folder / "load.py").write_text(
        "import numpy as np\n\n\ndef batches():\n    with np.load('first.npz') as stored:\n"
        "        yield stored['image'], stored['label']\n"
    )
    return folder


@pytest.mark.parametrize(
    ("data", "labels"),
    [("images?scale=1/255", "folder"), ("table.csv", "label"), ("load.py:batches", "label")],
)
def test_every_form_predicts_and_checks_like_the_array_file(
    data: str, labels: str, folder: Path, digits_kit: Path, tmp_path: Path
) -> None:
    model = next(path for path in digits_kit.glob("artifacts/onnx-fp32-*/*") if path.suffix == ".onnx")
    outputs = []
    for given, name in (("first.npz", "label"), (data, labels)):
        out = tmp_path / "out.npz"
        done = edgekit("predict", model, "--data", given, "--labels", name, "-o", out, "--json", cwd=folder)
        assert done.code == 0, done.err
        with np.load(out) as stored:
            outputs.append(stored["probs"])
    expected, got = outputs
    if labels == "folder":  # images come in the order of their folders
        assert sorted(got.argmax(axis=1)) == sorted(expected.argmax(axis=1))
    else:
        np.testing.assert_allclose(got, expected, atol=1e-5)
    checked = edgekit("check", model, "--data", data, "--labels", labels, "--json", cwd=folder)
    assert checked.code == 0, checked.err
    (row,) = checked.document["results"]
    assert row["accuracy"]["samples"] == COUNT
    assert row["accuracy"]["value"] > 0.9


@pytest.mark.parametrize(("data", "code"), [("bright.npz", "wrong-scale"), ("shuffled.npz", "source-at-chance")])
def test_samples_that_would_break_the_model_leave_the_kit_as_it_was(
    data: str, code: str, folder: Path, digits_kit: Path, tmp_path: Path
) -> None:
    kit = copied(digits_kit, tmp_path)
    before = snapshot(kit)
    done = edgekit("quantize", kit, "--target", "onnx", "--data", data, "--labels", "label", "--json", cwd=folder)
    assert done.code == 2
    assert done.error["code"] == code
    assert snapshot(kit) == before
