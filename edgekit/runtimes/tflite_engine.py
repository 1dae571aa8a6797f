"""The builds of LiteRT's interpreter, which was TensorFlow Lite's, and what each refuses. Part of the device core.

``ai-edge-litert`` is the current one. ``tflite-runtime`` 2.14, its last release, is what older boards have; TensorFlow
carries a copy. All three have the same interface.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekit.errors import MissingError, ModelError
from edgekit.runtimes.base import unloadable

#: Package, module of the interpreter, and the distributions that may have brought it; the first that is here is used.
_BUILDS = (
    ("ai_edge_litert", "ai_edge_litert.interpreter", ("ai-edge-litert",)),
    ("tflite_runtime", "tflite_runtime.interpreter", ("tflite-runtime",)),
    ("tensorflow", "tensorflow.lite.python.interpreter", ("tensorflow", "tensorflow-cpu")),
)

#: In the words of ``MutableOpResolver``: ``… builtin opcode 'CONV_2D' version '8'. An older version …``.
_TOO_NEW = re.compile(r"builtin opcode '(?P<name>\w+)' version '(?P<version>\d+)'")
_CUSTOM = re.compile(r"(?:custom op: |unresolved custom op: )(?P<name>\w+)")


@dataclass(frozen=True)
class Engine:
    """One build.

    Attributes:
        module: has ``Interpreter``, ``load_delegate`` and ``OpResolverType``.
        distribution: that it came with.
        version: of that.
    """

    module: Any
    distribution: str
    version: str

    def __str__(self) -> str:
        """``2.3.0`` for LiteRT itself, ``2.14.0 (tflite-runtime)`` for another build."""
        return self.version if self.distribution == "ai-edge-litert" else f"{self.version} ({self.distribution})"

    @property
    def release(self) -> str:
        """As ``--for`` takes it: ``tflite-runtime==2.14``."""
        name = "tensorflow" if self.distribution.startswith("tensorflow") else self.distribution
        return f"{name}=={'.'.join(self.version.split('.')[:2])}"


def engine() -> Engine:
    """The best build that is installed, imported.

    Raises:
        MissingError: none is.
    """
    for package, module, distributions in _BUILDS:
        if find_spec(package) is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's copy warns that it will move
            imported = import_module(module)
        name, version = next(filter(None, map(_version, distributions)), (distributions[0], "0"))
        return Engine(imported, name, version)
    raise MissingError(
        "no-tflite-engine",
        "no build of the TFLite interpreter is installed.",
        received=f"none of {', '.join(package for package, _, _ in _BUILDS)}",
        hint="Run: pip install ai-edge-litert",
    )


def _version(distribution: str) -> Any:
    try:
        return distribution, metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def refused(found: Engine, path: Path, err: Exception) -> ModelError:
    """The error for a file that the interpreter refuses; raise it from the engine's own.

    An operator version that is too new for it is named: the file is whole, and a newer engine or an export for this
    one runs.
    """
    words = str(err)
    new = _TOO_NEW.search(words)
    custom = _CUSTOM.search(words)
    if new is not None:
        return ModelError(
            "operator-too-new",
            f"{found.distribution} {found.version} does not have {new['name']} version {new['version']}, "
            f"which {path.name} uses.",
            received=f"{new['name']} version {new['version']}",
            hint=f"Export for it: edgekit export MODEL --target tflite --for {found.release}, or use a newer engine.",
        )
    if custom is not None:
        return ModelError(
            "custom-operator",
            f"{found.distribution} {found.version} does not have the custom operator {custom['name']} of {path.name}.",
            received=custom["name"],
            hint="Export the model by another route, which uses built-in operators: edgekit routes MODEL",
        )
    return unloadable(found.distribution, path, err)


def delegated(nodes: Sequence[Any]) -> set[int]:
    """Operators, by index, that a delegate took: those between its outputs and its inputs, which are not listed.

    Args:
        nodes: of ``Interpreter._get_ops_details``.
    """
    producers = {int(out): node for node in nodes if node["op_name"] != "DELEGATE" for out in node["outputs"]}
    found: set[int] = set()
    for delegate in nodes:
        if delegate["op_name"] != "DELEGATE":
            continue
        ends = {int(index) for index in delegate["inputs"]}
        open_ends = [int(index) for index in delegate["outputs"]]
        while open_ends:
            node = producers.get(open_ends.pop())
            if node is None or int(node["index"]) in found:
                continue
            found.add(int(node["index"]))
            open_ends += [int(index) for index in node["inputs"] if int(index) not in ends]
    return found
