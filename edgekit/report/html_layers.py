"""A comparison layer by layer on the page: sentences, the command that reproduces a fault, and the chart."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import inf

from edgekit.checked import CheckRow, LayerParity
from edgekit.parity.criteria import POLICIES, Policy
from edgekit.report import layers, svg_layers, text

#: For an artifact of unknown precision.
_ANY = Policy(0.0)


def told(check: CheckRow) -> str:
    """Who is to blame, and the command that shows it."""
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in layers.sentences(check))
    if check.failing is None:
        return said
    return f"{said}<p>Reproduce it; exit status 1 shows the fault:</p><pre>{escape(check.failing.command)}</pre>"


def chart(check: CheckRow) -> str:
    """SQNR of each layer with what the marks mean; nothing where no layer has a figure."""
    points = [_point(check, index) for index in range(len(check.layers))]
    if all(point.sqnr_db is None for point in points):
        return ""
    policy = POLICIES.get(check.precision, _ANY)
    drawn = svg_layers.layers(points, policy.decibel, f"SQNR of each layer of {layers.name(check)}")
    return f'{drawn}<div class="key">{_key(points, policy)}</div>'


def _key(points: Sequence[svg_layers.Point], policy: Policy) -> str:
    """The marks that the chart has."""
    known = [point for point in points if point.sqnr_db is not None]
    over = ", or over its bound" if policy.bounded else ""
    marks = {
        "yes": "holds" if any(point.kind == "yes" for point in known) else "",
        "no": f"does not hold: under the gate{over}" if any(point.kind != "yes" for point in known) else "",
        "added": "the layer alone, if its inputs were right"
        if any(point.added_db is not None for point in points)
        else "",
        "unsure": "no figure" if len(known) < len(points) else "",
    }
    dots = "".join(f'<span><i class="dot {kind}"></i>{escape(words)}</span>' for kind, words in marks.items() if words)
    return f'{dots}<span><i class="gate"></i>gate, {policy.decibel:g} dB</span>'


def _point(check: CheckRow, index: int) -> svg_layers.Point:
    layer = check.layers[index]
    held = layers.holds(check, index)
    kind = held if held in ("yes", "culprit") else "no"
    return svg_layers.Point(layer.layer, _decibel(layer), layer.added_db, kind, f"{index + 1}. {_words(layer)}")


def _decibel(layer: LayerParity) -> float | None:
    return inf if layer.sqnr_db is None and layer.max_abs == 0 else layer.sqnr_db


def _words(layer: LayerParity) -> str:
    bound = "" if layer.tolerance is None else f", bound {text.number(layer.tolerance, 2)}"
    added = "" if layer.added_db is None else f", alone {layer.added_db:.1f} dB"
    found = (
        "no figure"
        if layer.good is None
        else f"{text.sqnr(layer)}, max abs {text.number(layer.max_abs, 2)}{bound}{added}"
    )
    return f"{layer.layer} ({layer.kind}): {found}"
