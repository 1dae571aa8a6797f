"""ONNX and onnxruntime: which release reads which operator set and IR version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.compatibility_needs import Need, OldRuntime, Release

if TYPE_CHECKING:
    import onnx

NAME = "onnxruntime"

#: Newest operator set, IR version and operator set of ``ai.onnx.ml`` that each release loads. Measured with a model of
#: one Identity on the last patch of each; onnxruntime's own table (onnxruntime.ai/docs/reference/compatibility.html)
#: is of the onnx package it was built with, and promises more than 1.15 and 1.22 load.
RELEASES: dict[Release, tuple[int, int, int]] = {
    (1, 12): (17, 8, 3),
    (1, 13): (17, 8, 3),
    (1, 14): (18, 8, 3),
    (1, 15): (18, 9, 3),
    (1, 16): (19, 9, 3),
    (1, 17): (20, 9, 4),
    (1, 18): (21, 10, 5),
    (1, 19): (21, 10, 5),
    (1, 20): (21, 10, 5),
    (1, 21): (22, 10, 5),
    (1, 22): (22, 10, 5),
    (1, 23): (23, 11, 5),
    (1, 24): (25, 13, 5),
    (1, 25): (26, 13, 5),
}

_OPSET, _IR, _ML = 0, 1, 2

#: The IR version that brought each element type (TensorProto.DataType), from the comments of onnx.proto.
_TYPE_SINCE_IR = {17: 9, 18: 9, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}


def newest_opset(runtime: OldRuntime) -> int:
    """The newest operator set that a release loads; that of the newest release known for a newer one."""
    return _newest(runtime)[_OPSET]


def newest_ir(runtime: OldRuntime) -> int:
    """The newest IR version that a release loads; that of the newest release known for a newer one."""
    return _newest(runtime)[_IR]


def needs(path: Path) -> tuple[Need, ...]:
    """IR version, operator sets, and operators of domains that no table covers."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    found = [Need(f"IR version {model.ir_version}", _since(_IR, model.ir_version))]
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            found.append(Need(f"ONNX operator set {entry.version}", _since(_OPSET, entry.version)))
        elif entry.domain == "ai.onnx.ml":
            found.append(Need(f"operator set {entry.version} of ai.onnx.ml", _since(_ML, entry.version)))
    known = {"", "ai.onnx", "ai.onnx.ml", *(function.domain for function in model.functions)}
    others = {(node.domain, node.op_type) for node in _nodes(model) if node.domain not in known}
    return (*found, *(Need(f"operator {kind} of {domain}", {}) for domain, kind in sorted(others)))


def lower(path: Path, runtimes: Iterable[OldRuntime]) -> bool:
    """Stamp a file with the oldest IR version that the runtimes read and its content allows.

    Args:
        path: the file; it is replaced, so that a hard link to it keeps the old content.
        runtimes: of onnxruntime.

    Returns:
        Whether the file was changed.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    wanted = max(_least_ir(model), min(newest_ir(runtime) for runtime in runtimes))
    if wanted >= model.ir_version:
        return False
    model.ir_version = wanted
    aside = path.with_name(f"{path.name}.lowered")
    onnx.save(model, str(aside))
    aside.replace(path)
    return True


def _newest(runtime: OldRuntime) -> tuple[int, int, int]:
    return RELEASES[max(release for release in RELEASES if release <= runtime.version)]


def _since(column: int, version: int) -> dict[str, Release]:
    first = next((release for release, newest in RELEASES.items() if newest[column] >= version), None)
    return {} if first is None else {NAME: first}


def _least_ir(model: onnx.ModelProto) -> int:
    """The oldest IR version that has everything in the model, among those that RELEASES names."""
    least = min(newest[_IR] for newest in RELEASES.values())
    types = {tensor.data_type for tensor in model.graph.initializer}
    types |= {item.t.data_type for node in _nodes(model) for item in node.attribute if item.HasField("t")}
    types |= {int(item.i) for node in _nodes(model) for item in node.attribute if item.name == "to"}  # of Cast
    least = max([least, *(_TYPE_SINCE_IR.get(kind, least) for kind in types)])
    if any(function.attribute_proto for function in model.functions):
        least = max(least, 9)
    if any(function.overload for function in model.functions):
        least = max(least, 10)
    return least


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, those inside control flow and functions too."""
    pending = [model.graph, *model.functions]
    while pending:
        for node in pending.pop().node:
            yield node
            for item in node.attribute:
                pending.extend(body for body in (item.g, *item.graphs) if body.node)
