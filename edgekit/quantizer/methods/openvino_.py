"""Reading, counting and writing OpenVINO models for its quantization methods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

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
    return model


def write(model: openvino.Model, folder: Path, *, fp16: bool = False) -> Path:
    """Write ``model.xml`` and ``model.bin``.

    Args:
        model: what to write.
        folder: where.
        fp16: store the remaining float32 weights as float16.
    """
    import openvino

    automatic = [op for op in model.get_ordered_ops() if _AUTOMATIC.fullmatch(op.get_friendly_name())]
    for index, op in enumerate(automatic):  # their numbers count what the process made before: same input, same file
        op.set_friendly_name(f"{op.get_type_name()}_{index}")
    entry = folder / "model.xml"
    openvino.save_model(model, entry, compress_to_fp16=fp16)
    return entry


def decompressed(model: openvino.Model, types: tuple[str, ...]) -> list[str]:
    """Names of the constants of some element types that are converted to float before use: stored weights."""
    return [
        op.get_friendly_name()
        for op in model.get_ops()
        if op.get_type_name() == "Constant"
        and op.get_element_type().get_type_name() in types
        and any(
            use.get_node().get_type_name() == "Convert" and use.get_node().get_element_type().is_real()
            for use in op.output(0).get_target_inputs()
        )
    ]


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
