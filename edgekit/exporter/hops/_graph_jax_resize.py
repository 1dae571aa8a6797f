"""ONNX on JAX: resizing, one axis after the other, each as a weighted sum of shifted selections (Resize, ONNX)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edgekit.exporter.hops._graph_jax_node import Node


def resize(node: Node, x: list[Any]) -> Any:
    """Resize and its older form Upsample.

    Raises:
        ModelError: a mode that is not written here, or sizes that depend on the inputs.
    """
    if node.get("antialias", 0) or node.get("exclude_outside", 0) or node.get("extrapolation_value", 0):
        raise node.unsupported("antialiasing or a treatment of what is outside")
    if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.unsupported("a kept aspect ratio")
    rank = x[0].ndim
    axes = [axis % rank for axis in (node.get("axes") or range(rank))]
    lengths, scales = _sizes(node, x, axes)
    inner, order = node.layout.source(x[0]) or (x[0], tuple(range(rank)))
    for axis, length, scale in zip(axes, lengths, scales, strict=True):
        if length != x[0].shape[axis] or scale != 1:
            inner = _along(node, inner, order[axis], length, scale)
    return node.layout.transpose(inner, order)


def _sizes(node: Node, x: list[Any], axes: list[int]) -> tuple[list[int], list[float]]:
    """New length and scale per axis."""
    old = [x[0].shape[axis] for axis in axes]
    if node.kind == "Upsample" or len(x) == 2:  # before opset 11
        given = node.fixed(x[1], "scales").tolist() if len(x) > 1 else node.get("scales")
    elif len(x) > 3 and x[3] is not None:
        new = [int(length) for length in node.fixed(x[3], "sizes")]
        return new, [length / before for length, before in zip(new, old, strict=True)]
    else:
        given = node.fixed(x[2], "scales").tolist()
    return [int(np.floor(before * scale)) for before, scale in zip(old, given, strict=True)], given


def _along(node: Node, value: Any, axis: int, length: int, scale: float) -> Any:
    import jax.numpy as jnp

    before = value.shape[axis]
    place = _places(node, before, length, scale)
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        return jnp.take(value, _nearest(node, place, before), axis=axis)
    taps, weights = _linear(place) if mode == "linear" else _cubic(place, node.get("cubic_coeff_a", -0.75))
    shape = [-1 if other == axis else 1 for other in range(value.ndim)]
    parts = [
        jnp.take(value, np.clip(tap, 0, before - 1), axis=axis) * weight.reshape(shape).astype(value.dtype)
        for tap, weight in zip(taps, weights, strict=True)
    ]
    return sum(parts[1:], parts[0])


def _places(node: Node, before: int, length: int, scale: float) -> np.ndarray:
    """Where each new value lies among the old ones."""
    default = "asymmetric" if node.kind == "Upsample" or node.opset < 11 else "half_pixel"
    mode = node.get("coordinate_transformation_mode", default)
    index = np.arange(length, dtype=np.float64)
    if mode == "asymmetric":
        return index / scale
    if mode == "align_corners":
        return index * (before - 1) / max(length - 1, 1)
    if mode == "pytorch_half_pixel" and length == 1:
        return np.zeros(1)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (index + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        shift = before / 2 * (1 - length / (before * scale))
        return shift + (index + 0.5) / scale - 0.5
    raise node.unsupported(f"the coordinates {mode}")


def _nearest(node: Node, place: np.ndarray, before: int) -> np.ndarray:
    rounding: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "round_prefer_floor": lambda at: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda at: np.floor(at + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    default = "floor" if node.kind == "Upsample" or node.opset < 11 else "round_prefer_floor"
    found = rounding[node.get("nearest_mode", default)](place)
    inside: np.ndarray = np.clip(found, 0, before - 1).astype(np.int32)
    return inside


def _linear(place: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    low = np.floor(place).astype(np.int32)
    share = place - low
    return [low, low + 1], [1 - share, share]


def _cubic(place: np.ndarray, a: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Keys' kernel over four neighbours (R. Keys, 1981)."""
    low = np.floor(place).astype(np.int32)
    taps, weights = [], []
    for shift in (-1, 0, 1, 2):
        distance = np.abs(place - (low + shift))
        near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
        far = a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
        taps.append(low + shift)
        weights.append(np.where(distance <= 1, near, far))
    return taps, weights
