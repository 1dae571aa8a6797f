"""What jax2onnx and Keras on JAX lack or add, mended while a model is converted and put back after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Layouts of three-dimensional convolutions, as JAX numbers their axes: input and output, then weights.
_VOLUMES = {(0, 1, 2, 3, 4): "NCDHW", (0, 4, 1, 2, 3): "NDHWC"}
_VOLUME_FILTERS = {(0, 1, 2, 3, 4): "OIDHW", (4, 3, 0, 1, 2): "DHWIO"}


@contextmanager
def convolutions_of_volumes() -> Iterator[None]:
    """Let jax2onnx write convolutions over three dimensions, which differ from others in their layouts alone."""
    from jax2onnx.plugins.jax.lax import conv

    maps = (
        (conv._LAYOUT_MAP, _VOLUMES),
        (conv._OUTPUT_LAYOUT_MAP, _VOLUMES),
        (conv._FILTER_LAYOUT_MAP, _VOLUME_FILTERS),
    )
    of_input, of_kernel = conv._canonical_input_layout, conv._canonical_kernel_layout

    def kernel(layout: str, *, is_transpose: bool) -> str:
        if len(layout) == 5:
            return "IODHW" if is_transpose else "OIDHW"
        return str(of_kernel(layout, is_transpose=is_transpose))

    for known, more in maps:
        known.update(more)
    conv._canonical_input_layout = lambda layout: "NCDHW" if len(layout) == 5 else of_input(layout)
    conv._canonical_kernel_layout = kernel
    try:
        yield
    finally:
        conv._canonical_input_layout, conv._canonical_kernel_layout = of_input, of_kernel
        for known, more in maps:
            for key in more:
                known.pop(key)


@contextmanager
def plain_extremes() -> Iterator[None]:
    """Let Keras' argmax and argmin be those of JAX: on a CPU they look at the bits of zeros, for denormal numbers.

    No engine has that operator for floats, and which of two zeros comes first is nothing a model relies on.
    """
    from keras.src.backend.jax import numpy as of_keras

    if not hasattr(of_keras, "_uses_cpu"):  # other versions of Keras do not look
        yield
        return
    original: Any = of_keras._uses_cpu
    of_keras._uses_cpu = lambda _: False
    try:
        yield
    finally:
        of_keras._uses_cpu = original
