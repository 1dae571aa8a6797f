"""A distribution with hops that misbehave, found through entry points as a third party's would be.

Each hop leads from ``keras@openvino`` to a representation of its own, and a second one from there to ``openvino``, so
each is a route with its own name. They cost less than the built-in routes and are tried first.
"""

from __future__ import annotations

from pathlib import Path

ROWS = """
from edgekit.exporter.graph import HopRow


def _row(name, source, destination, cost):
    function = name.partition(">")[0] if source != "keras@openvino" else destination
    return HopRow(name, f"planted_hops:{function}", "", ("openvino",), source, destination, "openvino", cost)


KINDS = ("raising", "crashing", "hanging", "unreadable", "wrong")
FIRST = [_row(f"keras@openvino>{kind}", "keras@openvino", kind, 0.1 * number) for number, kind in enumerate(KINDS)]
SECOND = [_row(f"{kind}>openvino", kind, "openvino", 0.01) for kind in KINDS]
"""

HOPS = """
import ctypes
import shutil
import time

import numpy as np


def raising(request):
    if request.model.suffix != ".keras":
        return on(request)
    raise RuntimeError("the layer Sparkle is not supported\\nand a long explanation follows")


def crashing(request):
    ctypes.string_at(0)


def hanging(request):
    time.sleep(3600)


def unreadable(request):
    if request.model.suffix != ".keras":
        return on(request)
    path = request.folder / "model.xml"
    path.write_text("this is no network")
    return path


def wrong(request):
    # The right signature and plausible scores, from weights that have nothing to do with the model.
    if request.model.suffix != ".keras":
        return on(request)
    import openvino
    from openvino import opset13 as ops

    (given,), (wanted,) = request.signature.inputs, request.signature.outputs
    x = ops.parameter([-1, *given.shape[1:]], np.float32, name=given.name)
    flat = ops.reshape(x, ops.constant(np.array([-1, 64])), False)
    weights = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    y = ops.softmax(ops.matmul(flat, ops.constant(weights), False, False), 1)
    x.output(0).get_tensor().set_names({given.name})
    y.output(0).get_tensor().set_names({wanted.name})
    path = request.folder / "model.xml"
    openvino.save_model(openvino.Model([y], [x], "wrong"), path, compress_to_fp16=False)
    return path


def on(request):
    for file in request.model.parent.glob("model.*"):
        shutil.copy(file, request.folder / file.name)
    return request.folder / request.model.name
"""

#: What the row functions above are called in the entry points.
KINDS = ("raising", "crashing", "hanging", "unreadable", "wrong")


def plant(folder: Path, *kinds: str) -> dict[str, str]:
    """Install some of the hops into a folder.

    Returns:
        The variables that make Python find them.
    """
    info = folder / "planted_hops-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-hops\nVersion: 1.0\n")
    lines = []
    rows = [ROWS]
    for kind in kinds:
        number = KINDS.index(kind)
        rows.append(f"{kind}_first, {kind}_second = FIRST[{number}], SECOND[{number}]")
        lines += [f"{kind}-{each} = planted_rows:{kind}_{each}" for each in ("first", "second")]
    (info / "entry_points.txt").write_text("\n".join(["[edgekit.hops]", *lines, ""]))
    (folder / "planted_rows.py").write_text("\n".join(rows))
    (folder / "planted_hops.py").write_text(HOPS)
    return {"PYTHONPATH": str(folder)}


def route(kind: str) -> str:
    """Name of the route over one hop."""
    return f"keras@openvino>{kind}>openvino"
