"""A folder of images becomes what the model takes: size, channels, order of axes, scale, classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.images import read
from edgekit.data.read import read_samples
from edgekit.data.registry import ReadRequest, form_of
from edgekit.data.spec import parse_data
from edgekit.errors import DataError
from edgekit.types import Signature, TensorSpec
from edgekit.workbench import Workbench


def takes(*shape: int | None, dtype: str = "float32") -> Signature:
    return Signature((TensorSpec("image", (None, *shape), dtype),), ())


LAST, FIRST = takes(8, 6, 3), takes(3, 8, 6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes; the first image is red above and blue below, the others are grey."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    halves = np.zeros((16, 12, 3), np.uint8)
    halves[:8, :, 0] = 255
    halves[8:, :, 2] = 255
    Image.fromarray(halves).save(tmp_path / "cat" / "a.png")
    for number, path in enumerate(("cat/b.png", "dog/c.bmp", "dog/d.png")):
        Image.new("L", (6, 8), 50 * (number + 1)).save(tmp_path / path)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_are_resized_in_order_with_their_folders_as_labels(folder: Path, bench: Workbench) -> None:
    samples = read_samples(folder, bench, LAST, "folder")
    image = samples.load()["image"]
    assert image.shape == (4, 8, 6, 3)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[0, 0, 0], [255, 0, 0])
    np.testing.assert_array_equal(image[0, -1, -1], [0, 0, 255])
    np.testing.assert_array_equal(image[1:, 4, 3, 1], [50, 100, 150])
    labels = samples.load_labels()
    assert labels is not None
    assert labels.tolist() == [0, 0, 1, 1]


def test_channels_go_where_the_model_takes_them(folder: Path, bench: Workbench) -> None:
    last = read_samples(folder, bench, LAST).load()["image"]
    first = read_samples(folder, bench, FIRST).load()["image"]
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)


def test_grey_models_get_grey_images_in_their_own_type(folder: Path, bench: Workbench) -> None:
    grey = read_samples(folder, bench, takes(8, 6, dtype="uint8")).load()["image"]
    assert grey.dtype == np.uint8
    assert grey[1:, 0, 0].tolist() == [50, 100, 150]
    assert read_samples(folder, bench, takes(8, 6, 1)).load()["image"].shape == (4, 8, 6, 1)


def test_values_are_scaled_then_standardised(folder: Path, bench: Workbench) -> None:
    given = f"{folder}?scale=1/255&mean=0.5,0,0&std=0.5,1,2"
    image = read_samples(given, bench, LAST).load()["image"]
    np.testing.assert_allclose(image[0, 0, 0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(image[0, -1, -1], [-1, 0, 0.5], atol=1e-6)


def test_crop_keeps_the_aspect_ratio(folder: Path, bench: Workbench) -> None:
    picture = np.zeros((8, 24, 3), np.uint8)
    picture[:, 10:14] = 200
    Image.fromarray(picture).save(folder / "cat" / "a.png")
    stretched, cropped = (
        read_samples(f"{folder}?fit={fit}", bench, LAST).load()["image"][0, 4, :, 0] for fit in ("stretch", "crop")
    )
    assert cropped[0] == 0
    assert cropped[2] == 200
    assert 0 < stretched[2] < 200


def test_a_photograph_stands_upright(folder: Path, bench: Workbench) -> None:
    turned = Image.fromarray(np.repeat(np.arange(12, dtype=np.uint8)[None] * 20, 16, axis=0))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the top is on the right
    turned.save(folder / "cat" / "a.png", exif=exif)
    image = read_samples(folder, bench, takes(12, 16, 1)).load()["image"]
    assert image[0, :, 0, 0].tolist() == [20.0 * row for row in range(12)]


def test_a_free_size_is_the_images_own_or_the_one_asked_for(folder: Path, bench: Workbench) -> None:
    free = takes(None, None, 3)
    with pytest.raises(DataError, match="differ in size") as caught:
        read_samples(folder, bench, free)
    assert "?size=" in caught.value.hint
    assert read_samples(f"{folder}?size=4x5", bench, free).load()["image"].shape == (4, 4, 5, 3)
    assert read_samples(folder / "dog", bench, free).load()["image"].shape == (2, 8, 6, 3)


def test_a_limit_takes_from_all_classes(folder: Path, bench: Workbench) -> None:
    for number in range(20):
        Image.new("L", (6, 8), number).save(folder / "dog" / f"{number}.png")
    samples = read_samples(f"{folder}?limit=12", bench, LAST, "folder")
    labels = samples.load_labels()
    assert labels is not None
    assert len(labels) == 12
    assert set(labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("given", "signature", "labels", "code"),
    [
        ("", takes(8), None, "no-image-input"),
        ("", takes(8, 6, 2), None, "bad-data-option"),
        ("", takes(3, 8, 3), None, "bad-data-option"),
        ("", LAST, "label", "no-labels"),
        ("/cat", LAST, "folder", "no-labels"),
        ("?colour=red", LAST, None, "bad-data-option"),
        ("?scale=1/0", LAST, None, "bad-data-option"),
        ("?mean=1,2", LAST, None, "bad-data-option"),
        ("?fit=blur", LAST, None, "bad-data-option"),
        ("?size=9x9", LAST, None, "bad-data-option"),
        ("?limit=0", LAST, None, "bad-data-option"),
        ("?scale=1/255", takes(8, 6, 3, dtype="uint8"), None, "bad-data-option"),
        ("?layout=first", LAST, None, "bad-data-option"),
    ],
)
def test_what_does_not_fit_is_refused(
    given: str, signature: Signature, labels: str | None, code: str, folder: Path
) -> None:
    def read_all() -> None:
        spec = parse_data(f"{folder}{given}")
        assert form_of(spec).name == "images"
        list(read(ReadRequest(given, spec.path, None, spec.options, signature, labels, None, lambda progress: None)))

    with pytest.raises(DataError) as caught:
        read_all()
    assert caught.value.code == code


def test_images_that_cannot_be_read_are_named(folder: Path, bench: Workbench) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 6, 3), np.uint8)
    Image.fromarray(noise).save(folder / "dog" / "torn.png")
    (folder / "dog" / "torn.png").write_bytes((folder / "dog" / "torn.png").read_bytes()[:90])
    with pytest.raises(DataError, match=r"torn\.png cannot be read"):
        read_samples(folder, bench, LAST)
    Image.fromarray(np.zeros((8, 6), np.uint16)).save(folder / "dog" / "torn.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        read_samples(folder, bench, LAST)


def test_a_folder_without_images_is_told_by_what_it_holds(tmp_path: Path, bench: Workbench) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="no images") as caught:
        read_samples(tmp_path, bench, LAST)
    assert caught.value.received is not None
    assert ".txt" in caught.value.received
