"""A folder of images, resized to the model's height and width. Sub-folders are classes, in alphabetical order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.data.registry import Piece, ReadRequest
from edgekit.data.spec import bad_option, numbers, whole_number
from edgekit.errors import DataError
from edgekit.jobs.protocol import Progress
from edgekit.types import Signature, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

#: Files that count as images.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

#: What ``--labels`` names to take the sub-folders as classes.
FOLDER = "folder"

_PIECE = 32
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}

#: Pillow modes that hold more than 8 bits per channel; converting them would clip.
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a picture becomes a sample: ``(height, width, channels)`` in 0 to 255, then scaled and ordered."""

    size: tuple[int, int] | None
    channels: int
    first: bool
    flat: bool
    dtype: str
    crop: bool
    scale: float
    mean: np.ndarray
    std: np.ndarray


def read(request: ReadRequest) -> Iterator[Piece]:
    """Images in alphabetical order of their paths, with the number of their sub-folder as label.

    Options: ``scale=`` multiplies the values 0 to 255, then ``mean=`` is subtracted and ``std=`` divides, each one
    number or one per channel; ``fit=stretch|crop`` (default stretch); ``size=HEIGHTxWIDTH`` where the model leaves
    it free; ``layout=first|last`` where the shape does not tell where the channels are; ``limit=`` takes so many
    images, evenly from all folders.

    Raises:
        DataError: no images, one that cannot be read, a model that takes no images, or no sub-folders for labels.
    """
    layout = _layout(request)
    files, classes = _files(request)
    for start in range(0, len(files), _PIECE):
        some = files[start : start + _PIECE]
        pixels = np.stack(_same_size([_picture(file, layout) for file in some], some))
        labels = None
        if request.labels is not None:
            labels = np.array([classes[_class_of(file, request.path)] for file in some], np.int64)
        request.progress(Progress("read images", start + len(some), len(files)))
        yield {request.signature.inputs[0].name: _arranged(pixels, layout)}, labels


def _files(request: ReadRequest) -> tuple[list[Path], dict[str, int]]:
    found = sorted(path for path in request.path.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        other = sorted({path.suffix or path.name for path in request.path.rglob("*") if path.is_file()})
        raise DataError(
            "no-images",
            "the folder holds no images.",
            received=f"{request.text} with {', '.join(other[:5]) or 'no files'}",
            hint=f"Images end in {', '.join(SUFFIXES)}.",
        )
    classes = {name: number for number, name in enumerate(sorted({_class_of(path, request.path) for path in found}))}
    if request.labels is not None:
        _check_labels(request, found, classes)
    if "limit" in request.options:
        limit = min(len(found), whole_number(request.text, "limit", request.options["limit"]))
        found = [found[index * len(found) // limit] for index in range(limit)]
    return found, classes


def _check_labels(request: ReadRequest, found: list[Path], classes: Mapping[str, int]) -> None:
    if request.labels != FOLDER:
        raise DataError(
            "no-labels",
            "the labels of images are their sub-folders.",
            received=f"--labels {request.labels}",
            hint=f"Give --labels {FOLDER}.",
        )
    stray = next((path for path in found if path.parent == request.path), None)
    if stray is not None:
        raise DataError(
            "no-labels",
            f"{stray.name} lies in no sub-folder, so it has no label.",
            received=request.text,
            hint="Put the images of each class into a sub-folder of its own, or leave out --labels.",
        )
    if len(classes) < 2:
        raise DataError(
            "no-labels",
            "labels need at least two sub-folders, one for each class.",
            received=", ".join(classes),
            hint="Name the folder above those of the classes.",
        )


def _class_of(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0]


def _layout(request: ReadRequest) -> _Layout:
    spec, options = _image_input(request.signature, request.text), request.options
    first, channels, sides = _axes(spec, options.get("layout"), request.text)
    given = options.get("size")
    size: tuple[int, int] | None = None
    if None not in sides:
        size = (int(sides[0] or 0), int(sides[1] or 0))
        if given is not None and given != f"{size[0]}x{size[1]}":
            raise bad_option(request.text, "size", f"contradicts the model, which takes {spec}", "scale=1/255")
    elif given is not None:
        parts = given.split("x")
        if len(parts) != 2:
            raise bad_option(request.text, "size", "is HEIGHTxWIDTH", "size=224x224")
        size = (whole_number(request.text, "size", parts[0]), whole_number(request.text, "size", parts[1]))
    if options.get("fit", "stretch") not in ("stretch", "crop"):
        raise bad_option(request.text, "fit", "is stretch or crop", "fit=crop")
    scale, mean, std = (
        np.array(numbers(request.text, name, options.get(name, default)))
        for name, default in (("scale", "1"), ("mean", "0"), ("std", "1"))
    )
    if len(scale) != 1 or {len(mean), len(std)} - {1, channels} or not np.all(std):
        what = f"takes one number (scale=), or one for each of {channels} channels (mean=, std=, not zero)"
        raise bad_option(request.text, "scale", what, "scale=1/255&mean=0.5&std=0.5")
    if np.dtype(spec.dtype).kind in "iu" and {"scale", "mean", "std"} & set(options):
        raise bad_option(request.text, "scale", f"has no use: the model takes {spec.dtype}", "limit=500")
    crop = options.get("fit") == "crop"
    return _Layout(size, channels, first, len(spec.shape) == 3, spec.dtype, crop, float(scale[0]), mean, std)


def _image_input(signature: Signature, text: str) -> TensorSpec:
    if len(signature.inputs) == 1 and len(signature.inputs[0].shape) in (3, 4):
        return signature.inputs[0]
    raise DataError(
        "no-image-input",
        "a folder of images needs a model with one input of images.",
        received=f"{text} for {', '.join(map(str, signature.inputs))}",
        hint="Give an .npz with one array per input, or code as file.py:function.",
    )


def _axes(spec: TensorSpec, layout: str | None, text: str) -> tuple[bool, int, tuple[int | None, int | None]]:
    """Whether channels come first, how many, and height and width."""
    if len(spec.shape) == 3:
        return False, 1, (spec.shape[1], spec.shape[2])
    able = {"first": spec.shape[1] in _MODES, "last": spec.shape[3] in _MODES}
    found = layout or next((name for name, fits in able.items() if fits), "last")
    if not able.get(found, False) or (layout is None and all(able.values())):
        what = f"is first or last, and input {spec} should have 1, 3 or 4 channels there"
        raise bad_option(text, "layout", what, "layout=last")
    if found == "first":
        return True, int(spec.shape[1] or 0), (spec.shape[2], spec.shape[3])
    return False, int(spec.shape[3] or 0), (spec.shape[1], spec.shape[2])


def _picture(file: Path, layout: _Layout) -> np.ndarray:
    """``(height, width, channels)``, uint8, upright as its EXIF data say."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            if opened.mode in _DEEP:
                raise DataError(
                    "deep-image",
                    f"the image {file.name} has more than 8 bits per channel.",
                    received=f"mode {opened.mode}",
                    hint="Convert it to 8 bits, or give an .npz.",
                )
            upright = ImageOps.exif_transpose(opened).convert(_MODES[layout.channels])
            pixels = np.asarray(_resized(upright, layout))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        raise DataError(
            "bad-image",
            f"the image {file.name} cannot be read: {str(err).replace(str(file), file.name)[:200]}",
            received=f"{file.parent.name}/{file.name}",
            hint="Remove it or save it again.",
        ) from err
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _resized(picture: Image, layout: _Layout) -> Image:
    """Bilinear; Pillow's filter grows with the reduction, so that large pictures do not alias."""
    from PIL import Image as image_
    from PIL import ImageOps

    if layout.size is None or picture.size == layout.size[::-1]:
        return picture
    if layout.crop:
        return ImageOps.fit(picture, layout.size[::-1], image_.Resampling.BILINEAR)
    return picture.resize(layout.size[::-1], image_.Resampling.BILINEAR)


def _same_size(pictures: list[np.ndarray], files: list[Path]) -> list[np.ndarray]:
    for picture, file in zip(pictures, files, strict=True):
        if picture.shape != pictures[0].shape:
            raise DataError(
                "uneven-samples",
                "the images differ in size, and the model leaves height and width free.",
                received=f"{file.name} is {picture.shape[0]}x{picture.shape[1]}, {files[0].name} is "
                f"{pictures[0].shape[0]}x{pictures[0].shape[1]}",
                hint="Choose one: ?size=224x224",
            )
    return pictures


def _arranged(pixels: np.ndarray, layout: _Layout) -> np.ndarray:
    """``(samples, height, width, channels)`` as the model takes it."""
    if np.dtype(layout.dtype).kind not in "iu":
        pixels = ((pixels * layout.scale - layout.mean) / layout.std).astype(layout.dtype)
    pixels = pixels.astype(layout.dtype, copy=False)
    if layout.flat:
        return pixels[..., 0]
    return np.moveaxis(pixels, -1, 1) if layout.first else pixels
