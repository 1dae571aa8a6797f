"""A distribution with converters that break a signature in ways that plain looks do not show.

Each takes what the OpenVINO backend makes, which is right, and changes it; see `tests.cli.planted` for the way in.
"""

from __future__ import annotations

from pathlib import Path

ROWS = """
from edgekit.exporter.graph import HopRow


def _row(name, source, destination, cost):
    function = name.partition(">")[0] if source != "keras@openvino" else destination
    return HopRow(name, f"planted_shapes:{function}", "", ("openvino",), source, destination, "openvino", cost)


"""

HOPS = """
import shutil

import numpy as np

from edgekit.exporter.hops.keras_openvino_to_openvino import convert

TRACED = (32, 40)


def spoiled(change):
    def run(request):
        if request.model.suffix != ".keras":  # the second hop hands on what the first one made
            for file in request.model.parent.glob("model.*"):
                shutil.copy(file, request.folder / file.name)
            return request.folder / request.model.name
        import openvino

        read = openvino.Core().read_model(convert(request))
        change(read, openvino.opset13)
        folder = request.folder / "spoiled"
        folder.mkdir()
        openvino.save_model(read, folder / "model.xml", compress_to_fp16=False)
        for file in list(folder.iterdir()):
            file.replace(request.folder / file.name)
        folder.rmdir()
        return request.folder / "model.xml"

    return run


def between(port, make):
    readers = list(port.get_target_inputs())
    made = make(port)
    for reader in readers:
        reader.replace_source_output(made.output(0))


def bake(model, ops):
    # Declared free, but what lies beyond the size of the example is cut off.
    numbers = [ops.constant(np.array(values)) for values in ((0, 0), TRACED, (1, 1), (1, 2))]
    between(model.inputs[0], lambda port: ops.slice(port, *numbers))


def fix(model, ops):
    (port,) = model.inputs
    model.reshape({port: [-1, *TRACED, 3]})


def swap(model, ops):
    left, right = model.inputs
    of_left, of_right = list(left.get_target_inputs()), list(right.get_target_inputs())
    for readers, port in ((of_left, right), (of_right, left)):
        for reader in readers:
            reader.replace_source_output(port)


def transpose(model, ops):
    between(model.inputs[0], lambda port: ops.transpose(port, ops.constant(np.array([0, 2, 1, 3]))))


def rename(model, ops):
    model.outputs[0].set_names({"StatefulPartitionedCall:0"})


def misname(model, ops):
    model.inputs[0].set_names({"serving_default_image:0"})


baked, fixed, swapped, transposed = map(spoiled, (bake, fix, swap, transpose))
renamed, misnamed = map(spoiled, (rename, misname))
"""

#: Representations that the planted hops lead to.
KINDS = ("baked", "fixed", "swapped", "transposed", "renamed", "misnamed")


def plant(folder: Path) -> dict[str, str]:
    """Install the hops into a folder.

    Returns:
        The variables that make Python find them.
    """
    info = folder / "planted_shapes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-shapes\nVersion: 1.0\n")
    rows, lines = [ROWS], ["[edgekit.hops]"]
    for kind in KINDS:
        rows.append(f'{kind}_first = _row("keras@openvino>{kind}", "keras@openvino", "{kind}", 20)')
        rows.append(f'{kind}_second = _row("{kind}>openvino", "{kind}", "openvino", 0.01)')
        lines += [f"{kind}-{each} = planted_shapes_rows:{kind}_{each}" for each in ("first", "second")]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))
    (folder / "planted_shapes_rows.py").write_text("\n".join(rows))
    (folder / "planted_shapes.py").write_text(HOPS)
    return {"PYTHONPATH": str(folder)}
