"""Reading, counting and writing OpenVINO models for its quantization methods."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.quantizer.methods.einsum import rewrite_openvino
from edgekit.quantizer.methods.samples import refuse_quantized

if TYPE_CHECKING:
    import openvino

#: A name that OpenVINO gave, such as ``Convert_5991``.
_AUTOMATIC = re.compile(r"[A-Za-z0-9]+_\d+")

#: Element types of weights that were stored in fewer bits.
LOW_BIT = ("i8", "u8", "i4", "u4", "i2", "u2", "nf4", "f4e2m1", "f8e4m3", "f8e5m2")

#: Those of four bits.
FOUR_BIT = ("i4", "u4")


def read(path: Path) -> openvino.Model:
    """A float model.

    Raises:
        UsageError: it is quantized already.
    """
    import openvino

    model = openvino.Core().read_model(path)
    found = next((op for op in model.get_ops() if op.get_type_name() in ("FakeQuantize", "FakeConvert")), None)
    if found is not None:
        refuse_quantized(f"operator {found.get_type_name()} {found.get_friendly_name()!r}")
    weights = decompressed(model, LOW_BIT)
    if weights:
        refuse_quantized(f"weight {weights[0]!r} of few bits")
    rewrite_openvino(model)
    return model


def operators(model: openvino.Model) -> list[tuple[str, str]]:
    """Name and type of every operator but constants, in execution order; those inside loops are not counted."""
    found = [(op.get_friendly_name(), op.get_type_name()) for op in model.get_ordered_ops()]
    return [(name, kind) for name, kind in found if kind not in ("Constant", "Parameter", "Result")]


def write(model: openvino.Model, folder: Path, *, fp16: bool = False) -> Path:
    """Write ``model.xml`` and ``model.bin``.

    Args:
        model: what to write.
        folder: where.
        fp16: store the remaining float32 weights as float16.
    """
    import openvino

    _share_constants(model)
    automatic = [op for op in model.get_ordered_ops() if _AUTOMATIC.fullmatch(op.get_friendly_name())]
    for index, op in enumerate(automatic):  # their numbers count what the process made before: same input, same file
        op.set_friendly_name(f"{op.get_type_name()}_{index}")
    entry = folder / "model.xml"
    openvino.save_model(model, entry, compress_to_fp16=fp16)
    return entry


def _share_constants(model: openvino.Model) -> None:
    """Store equal int8 weights once, in place: NNCF writes one for every use, so an unrolled cell would grow."""
    known: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
    for op in model.get_ordered_ops():
        if op.get_type_name() != "Constant" or op.get_element_type().get_type_name() not in ("i8", "u8"):
            continue
        key = (op.get_element_type().get_type_name(), tuple(op.shape), sha256(op.data).digest())
        first = known.setdefault(key, op)
        if first is not op:
            op.output(0).replace(first.output(0))


def decompressed(model: openvino.Model, types: tuple[str, ...]) -> list[str]:
    """Names of stored weights of some element types: constants that are converted to float, and no zero points."""
    return [
        op.get_friendly_name()
        for op in model.get_ops()
        if op.get_type_name() == "Constant"
        and op.get_element_type().get_type_name() in types
        and any(_widens(use.get_node()) for use in op.output(0).get_target_inputs())
    ]


def _widens(node: Any) -> bool:
    """Whether an operator makes floats of a stored weight."""
    if node.get_type_name() != "Convert" or not node.get_element_type().is_real():
        return False
    uses = node.output(0).get_target_inputs()
    return not all(use.get_node().get_type_name() == "Subtract" and use.get_index() == 1 for use in uses)


def after_quantizers(model: openvino.Model) -> int:
    """How many operators take an input from a FakeQuantize."""
    names = {
        use.get_node().get_friendly_name()
        for op in model.get_ops()
        if op.get_type_name() == "FakeQuantize"
        for use in op.output(0).get_target_inputs()
        if use.get_node().get_type_name() != "FakeQuantize"
    }
    return len(names)
