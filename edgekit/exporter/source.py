"""Sources: recognise a model file without loading it, and read ``--input``."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from edgekit.errors import MissingError, ModelError, UsageError
from edgekit.jobs.protocol import blob_of
from edgekit.registry import install_command
from edgekit.types import Signature, TensorSpec

#: Keras backends that can compute the reference, best first. OpenVINO comes last: it may compute in bf16.
BACKENDS = {"jax": "jax", "torch": "torch", "tensorflow": "tensorflow", "openvino": "openvino"}

_KERAS_MEMBERS = {"config.json", "metadata.json"}
_INPUT = re.compile(r"(?P<name>[^=]+)=(?P<shape>([1-9][0-9]*|\?)(x([1-9][0-9]*|\?))*)(:(?P<dtype>[a-z0-9]+))?\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """A model file.

    Attributes:
        kind: ``keras``.
        sha256: of its content.
    """

    path: Path
    kind: str
    sha256: str


def open_source(model: str | Path) -> Source:
    """Recognise a model file by its content.

    Raises:
        ModelError: no such file, not a model, or a truncated one.
    """
    path = Path(model)
    if not path.exists():
        raise ModelError(
            "no-model-file", "there is no such model file.", received=str(model), hint="Give the path of a .keras file."
        )
    if path.is_dir() or path.suffix != ".keras":
        raise ModelError(
            "unknown-model-kind",
            "edgekit exports Keras 3 models saved with model.save('name.keras').",
            received=str(model),
            hint="Save it as .keras with Keras 3; inspect, check and bench also take .onnx, .xml and .tflite.",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
    except zipfile.BadZipFile as err:
        raise ModelError(
            "not-a-model",
            f"{path.name} is no .keras archive, or it is truncated.",
            received=f"{path.stat().st_size} bytes",
            hint="Save or copy the model again.",
        ) from err
    missing = ", ".join(sorted(_KERAS_MEMBERS - members))
    if missing:
        raise ModelError(
            "not-a-model",
            f"{path.name} is an archive, but not one that Keras 3 writes: {missing} is missing.",
            received=", ".join(sorted(members)[:5]) or "an empty archive",
            hint="Save the model again with model.save('name.keras').",
        )
    return Source(path, "keras", blob_of(path).sha256)


def reference_backend(asked: str) -> str:
    """The Keras backend that computes the reference: the one asked for, or the best that is installed.

    Raises:
        UsageError: there is no such backend.
        MissingError: Keras or the backend is not installed.
    """
    if asked not in ("auto", *BACKENDS):
        raise UsageError(
            "unknown-backend",
            f"there is no backend {asked!r}.",
            received=asked,
            hint=f"Choose one of: auto, {', '.join(BACKENDS)}.",
        )
    if util.find_spec("keras") is None:
        raise MissingError(
            "missing-extra",
            "a .keras file needs Keras 3, which this environment does not have.",
            hint=f"Run: {install_command('keras')}",
        )
    candidates = BACKENDS if asked == "auto" else {asked: BACKENDS[asked]}
    for name, module in candidates.items():
        if util.find_spec(module) is not None:
            return name
    extra = "jax" if asked == "auto" else asked
    raise MissingError(
        "missing-extra",
        f"Keras needs {'a backend' if asked == 'auto' else asked}, which this environment does not have.",
        hint=f"Run: {install_command(extra)}",
    )


def parse_inputs(texts: Sequence[str]) -> dict[str, TensorSpec]:
    """Read ``--input NAME=?x224x224x3[:dtype]``; an empty dtype keeps the model's own.

    Raises:
        UsageError: another form, or one name twice.
    """
    pins: dict[str, TensorSpec] = {}
    for text in texts:
        match = _INPUT.match(text)
        if match is None or match["name"] in pins:
            raise UsageError(
                "bad-input-option",
                "--input takes NAME=?x224x224x3, with ? for a free dimension, once per input.",
                received=text,
                hint="Example: --input image=?x224x224x3:float32",
            )
        shape = tuple(None if length == "?" else int(length) for length in match["shape"].split("x"))
        pins[match["name"]] = TensorSpec(match["name"], shape, match["dtype"] or "")
    return pins


def check_dtypes(signature: Signature, pins: dict[str, TensorSpec]) -> None:
    """Refuse a dtype given with ``--input`` that is not the model's own.

    Raises:
        UsageError: names the input.
    """
    for spec in signature.inputs:
        wanted = pins.get(spec.name)
        if wanted is not None and wanted.dtype not in ("", spec.dtype):
            raise UsageError(
                "contradictory-input",
                f"--input contradicts the model, which takes {spec}.",
                received=str(wanted),
                hint=f"Leave the dtype out, or give :{spec.dtype}.",
            )
