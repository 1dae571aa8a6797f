"""OpenVINO IR: which release reads which operators, and the same operators in older sets.

An IR names for each layer the oldest operator set that has this version of the operator. The newest set of a release is
often incomplete: 2024.2 has opset15, but Squeeze of opset15 only came with 2024.5. So the table is by operator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from edgekit.exporter.compatibility_needs import Need, Release

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAME = "openvino"

#: The oldest release known. It has all of opset1 to opset10 and reads IR version 11.
OLDEST: Release = (2022, 3)
_OLDEST_OPSET = 10
_IR_VERSION = 11

#: Operators of newer sets by the first release that reads them: each pair was read by every release from 2022.3 on.
#: The names are those of the opset tables in OpenVINO's sources (src/core/include/openvino/opsets).
_ADDED: dict[Release, str] = {
    (2023, 0): "opset11: Interpolate TopK",
    (2023, 1): "opset12: GroupNormalization Pad ScatterElementsUpdate",
    (2023, 2): "opset13: BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Multinomial NMSRotated",
    (2023, 3): "opset13: FakeConvert ScaledDotProductAttention",
    (2024, 0): "opset14: AvgPool ConvertPromoteTypes Inverse MaxPool",
    (2024, 2): "opset15: Col2Im EmbeddingBagOffsets EmbeddingBagPacked ROIAlignRotated ScatterNDUpdate",
    (2024, 4): "opset15: BitwiseLeftShift BitwiseRightShift SliceScatter StringTensorPack StringTensorUnpack",
    (2024, 5): "opset15: STFT SearchSorted Squeeze",
    (2025, 0): "opset16: Identity",
    (2025, 1): "opset16: ISTFT SegmentMax",
    (2025, 2): "opset16: SparseFillEmptyRows",
    (2025, 3): "opset16: AvgPool",
    (2025, 4): "opset16: OneHot",
}

_SINCE = {
    (kind, opset): release
    for release, (opset, _, kinds) in ((release, text.partition(": ")) for release, text in _ADDED.items())
    for kind in kinds.split()
}


@dataclass(frozen=True)
class _Older:
    """An operator that means the same in an older set.

    Attributes:
        kind: of the layer.
        newer, older: operator sets.
        only: values, as patterns, that these attributes must have for that.
        drop: attributes that the older set lacks.
    """

    kind: str
    newer: str
    older: str
    only: dict[str, str]
    drop: tuple[str, ...] = ()


#: From OpenVINO's specification of each operator; newest first, since one may lead to the next.
_OLDER = (
    _Older("AvgPool", "opset16", "opset14", {"dilations": r"1(, ?1)*"}, ("dilations",)),
    _Older("AvgPool", "opset14", "opset1", {"rounding_type": "floor|ceil"}),
    _Older("MaxPool", "opset14", "opset8", {"rounding_type": "floor|ceil"}),
    _Older("Squeeze", "opset15", "opset1", {"allow_axis_skip": "false"}, ("allow_axis_skip",)),
    _Older("TopK", "opset11", "opset3", {"stable": "false"}, ("stable",)),
)


def needs(path: Path) -> tuple[Need, ...]:
    """Every kind of layer with its operator set, and the IR version."""
    root = ElementTree.parse(path).getroot()
    version = int(root.get("version", "0"))
    found = [Need(f"IR version {version}", {NAME: OLDEST} if version <= _IR_VERSION else {})]
    pairs = {(layer.get("type", ""), layer.get("version", "")) for layer in root.iter("layer")}
    return (*found, *(Need(f"{kind} of {opset}", _since(kind, opset)) for kind, opset in sorted(pairs)))


def lower(path: Path) -> bool:
    """Write each operator in the oldest set in which it means the same.

    Args:
        path: the ``.xml`` file; it is replaced, so that a hard link to it keeps the old content.

    Returns:
        Whether the file was changed.
    """
    root = ElementTree.parse(path).getroot()
    changed = [_rewrite(layer, rule) for rule in _OLDER for layer in root.iter("layer")]
    if not any(changed):
        return False
    aside = path.with_name(f"{path.name}.lowered")
    aside.write_text(f'<?xml version="1.0"?>\n{ElementTree.tostring(root, encoding="unicode")}\n', encoding="utf-8")
    aside.replace(path)
    return True


def _since(kind: str, opset: str) -> dict[str, Release]:
    number = opset.removeprefix("opset")
    is_old = opset.startswith("opset") and number.isdecimal() and 1 <= int(number) <= _OLDEST_OPSET
    first = OLDEST if is_old else _SINCE.get((kind, opset))
    return {} if first is None else {NAME: first}


def _rewrite(layer: Element, rule: _Older) -> bool:
    """Apply a rule to a layer, if it fits."""
    if (layer.get("type"), layer.get("version")) != (rule.kind, rule.newer):
        return False
    data = layer.find("data")
    if data is None or not all(re.fullmatch(want, data.get(name, "")) for name, want in rule.only.items()):
        return False
    layer.set("version", rule.older)
    for name in rule.drop:
        del data.attrib[name]
    if not data.attrib:
        layer.remove(data)
    return True
