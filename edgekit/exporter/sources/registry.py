"""Which kinds of sources there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import MissingError
from edgekit.exporter.loading import Load, Loaded, Loading
from edgekit.registry import Registry, Row, install_command


@dataclass(frozen=True)
class SourceRow(Row):
    """A kind of source, described without importing its framework.

    Attributes:
        what: it is, in words.
        suffixes: of its files; none for what only a factory gives.
        backend: of the process that loads it (see `edgekit.exporter.graph.conversion_context`); ``keras`` for the
            best Keras backend there is, None for any process.
    """

    what: str = ""
    suffixes: tuple[str, ...] = ()
    backend: str | None = None


def _row(
    name: str,
    module: str,
    extra: str,
    needs: tuple[str, ...],
    what: str,
    suffixes: tuple[str, ...] = (),
    backend: str | None = None,
) -> SourceRow:
    target = f"edgekit.exporter.sources.{module}"
    return SourceRow(name, target, extra, needs, what, suffixes, backend)


SOURCES = Registry[SourceRow](
    "source",
    "edgekit.sources",
    (
        _row("keras", "keras_:load", "keras", ("keras",), "a Keras 3 model", (".keras",), "keras"),
        _row("torch.nn", "torch_:load_module", "torch", ("torch",), "a torch module", (), "torch"),
        _row("torch.export", "torch_:load_program", "torch", ("torch",), "a torch program", (".pt2",), "torch"),
        _row("jax", "jax_:load_function", "jax", ("jax",), "a JAX function", (), "jax"),
        _row("jax.export", "jax_:load_exported", "jax", ("jax",), "a serialized JAX function", (".jax",), "jax"),
        _row("saved_model", "saved_model:load", "tensorflow", ("tensorflow",), "a SavedModel", (), "tensorflow"),
        _row("onnx", "engine:load_onnx", "onnxruntime", ("onnxruntime",), "an ONNX model", (".onnx",)),
        _row("openvino", "engine:load_openvino", "openvino", ("openvino",), "an OpenVINO IR", (".xml",)),
        _row("tflite", "engine:load_tflite", "tflite", ("ai_edge_litert",), "a TFLite model", (".tflite",)),
        _row("code", "code:load", "", (), "what a factory returns"),
    ),
)


def load_source_model(kind: str, path: Path | None, loading: Loading) -> Loaded:
    """Load a source in this process.

    Raises:
        MissingError: its framework is not installed.
        EdgekitError: see `edgekit.exporter.loading.Load`.
    """
    load: Load = SOURCES[kind].load()
    return load(path, loading)


def kinds_of_suffix() -> dict[str, str]:
    """Kind of source by file suffix."""
    return {suffix: row.name for row in SOURCES for suffix in row.suffixes}


def require_source(kind: str) -> None:
    """Refuse a source whose framework is not installed.

    Raises:
        MissingError: with the command that installs it.
    """
    row = SOURCES[kind]
    missing = row.missing()
    if missing:
        raise MissingError(
            "missing-extra",
            f"{row.what} needs {', '.join(missing)}, which this environment does not have.",
            hint=f"Run: {install_command(row.extra)}",
        )
