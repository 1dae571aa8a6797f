"""Sources: recognise what the user named without loading it, and read ``--input``."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import util
from pathlib import Path

from edgekit.errors import MissingError, ModelError, UsageError
from edgekit.exporter.loading import Loading
from edgekit.exporter.sources.registry import SOURCES, kinds_of_suffix, require_source
from edgekit.files import companions
from edgekit.jobs.code import Code, code_environment, find_code, imported_by
from edgekit.jobs.protocol import blob_of
from edgekit.registry import install_command
from edgekit.types import Signature, TensorSpec

#: Keras backends that can compute the reference, best first. OpenVINO comes last: it may compute in bf16.
BACKENDS = {"jax": "jax", "torch": "torch", "tensorflow": "tensorflow", "openvino": "openvino"}

_KERAS_MEMBERS = {"config.json", "metadata.json"}
_SAVED_MODEL = "saved_model.pb"
_INPUT = re.compile(r"(?P<name>[^=]+)=(?P<shape>([1-9][0-9]*|\?)(x([1-9][0-9]*|\?))*)(:(?P<dtype>[a-z0-9]+))?\Z")


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the user says about a source beside its name.

    Attributes:
        custom_objects: Python files that define classes or functions a ``.keras`` file refers to.
        submodel: name of the model inside the model that is meant.
        trust_code: run code that the model file itself holds.
    """

    custom_objects: tuple[str, ...] = ()
    submodel: str | None = None
    trust_code: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """What the user named.

    Attributes:
        name: as given: a path, or ``file.py:factory``.
        path: the file, the folder of a SavedModel, or the file with the factory.
        kind: node of the conversion graph without a backend; ``code`` until the factory has been called.
        sha256: of the content, and of code that takes part in it.
        options: as given.
        loading: the same for a message.
        env: where a worker finds the code.
    """

    name: str
    path: Path
    kind: str
    sha256: str
    options: SourceOptions
    loading: Loading
    env: dict[str, str]

    @property
    def stem(self) -> str:
        """What its kit is called by default."""
        base = self.name.rpartition(":")[2] if self.loading.factory else self.path.resolve().stem
        return f"{base}-{self.options.submodel}" if self.options.submodel else base

    @property
    def likely_kind(self) -> str:
        """The kind, or for a factory a guess from what its file imports; a wrong one only costs a process."""
        if self.loading.factory is None:
            return self.kind
        imported = imported_by(self.path)
        if imported & {"keras", "keras_hub"}:
            return "keras"
        return "torch.nn" if imported & {"torch", "transformers", "timm"} else "jax"


def open_source(model: str | Path, options: SourceOptions | None = None) -> Source:
    """Recognise a model file by its content, or code by its name. Nothing is loaded or run.

    Raises:
        UsageError: options that do not go with this source.
        ModelError: no such file, not a model, or a truncated one.
    """
    options = options or SourceOptions()
    name = str(model)
    named = find_code(name)
    if named is not None:
        (factory, path), kind = named, "code"
    else:
        path, factory = Path(name), None
        kind = _kind_of_file(path)
    _check_options(kind, name, options)
    custom = [Path(file) for file in options.custom_objects]
    for file in custom:
        _check_code(file)
    loading = Loading(
        factory, tuple(Code(file.name, _sha(file)) for file in custom), options.submodel, options.trust_code
    )
    digests = [
        _digest(path),
        name.rpartition(":")[2] if factory else "",
        *(code.sha256 for code in loading.custom_objects),
    ]
    digests.append(options.submodel or "")
    whole = digests[0] if not any(digests[1:]) else sha256("\n".join(digests).encode()).hexdigest()
    return Source(
        name, path, kind, whole, options, loading, code_environment((path, *custom)) if factory or custom else {}
    )


def source_files(source: Source) -> tuple[Path, ...]:
    """Files of a source, the entry file first; the folder of a SavedModel is packed by who needs it."""
    return (source.path, *companions(source.path)) if source.path.is_file() else (source.path,)


def _kind_of_file(path: Path) -> str:
    kinds = kinds_of_suffix()
    known = f"Give one of: {', '.join(kinds)}, a SavedModel folder, or code as file.py:factory."
    if not path.exists():
        raise ModelError("no-model-file", "there is no such model file.", received=str(path), hint=known)
    if path.is_dir():
        if (path / _SAVED_MODEL).is_file():
            return "saved_model"
        raise ModelError("unknown-model-kind", f"this folder holds no {_SAVED_MODEL}.", received=str(path), hint=known)
    if path.suffix == ".py":
        raise ModelError(
            "no-factory",
            "this is Python code; name the function in it that returns the model.",
            received=str(path),
            hint=f"Give {path}:factory",
        )
    if path.suffix not in kinds:
        raise ModelError(
            "unknown-model-kind", "edgekit does not know this kind of model file.", received=str(path), hint=known
        )
    if path.stat().st_size == 0:
        raise ModelError("not-a-model", f"{path.name} is empty.", received=str(path), hint="Save or copy it again.")
    if kinds[path.suffix] == "keras":
        _check_keras(path)
    missing = [file for file in companions(path) if not file.is_file()]
    if missing:
        raise ModelError(
            "missing-weights",
            f"{path.name} has its weights in {missing[0].name}, which is not there.",
            received=str(path),
            hint=f"Put {missing[0].name} beside it.",
        )
    return kinds[path.suffix]


def _check_keras(path: Path) -> None:
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


def _check_options(kind: str, name: str, options: SourceOptions) -> None:
    """Refuse options that would do nothing for this source."""
    given = {
        "--custom-objects": bool(options.custom_objects) and kind != "keras",
        "--submodel": options.submodel is not None and kind not in ("keras", "code"),
        "--trust-code": options.trust_code and kind not in ("keras", "saved_model", "torch.export"),
    }
    for option, useless in given.items():
        if useless:
            raise UsageError(
                "option-without-use",
                f"{option} means nothing for this source.",
                received=f"{option} {name}",
                hint=f"Leave out {option}.",
            )


def _check_code(path: Path) -> None:
    if path.suffix != ".py" or not path.is_file():
        raise UsageError(
            "no-such-code",
            "there is no such Python file.",
            received=str(path),
            hint="Give the file that defines the classes: --custom-objects layers.py",
        )


def _sha(path: Path) -> str:
    return blob_of(path).sha256


def _digest(path: Path) -> str:
    """Of a file and its companions, or of every file of a folder."""
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    files = inside if path.is_dir() else [path, *companions(path)]
    digests = [_sha(file) for file in files]
    return digests[0] if len(digests) == 1 else sha256("\n".join(digests).encode()).hexdigest()


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
    require_source("keras")
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


def loading_backend(kind: str, asked: str) -> str | None:
    """The backend of the process that loads a kind of source (see `edgekit.exporter.graph.conversion_context`).

    Raises:
        UsageError: there is no such Keras backend.
        MissingError: the framework of the source is not installed.
    """
    row = SOURCES[kind]
    if row.backend == "keras":
        return reference_backend(asked)
    require_source(kind)
    return row.backend


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
