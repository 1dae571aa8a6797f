"""One arithmetic for every Keras model: float32, whatever its dtype policies say.

An fp32 artifact is compared with its source in float32. A model with the policy ``mixed_float16`` keeps its weights in
float32 and only computes in float16, so nothing is lost; float64 and float16 weights are rounded or widened to float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

#: Floating dtypes that are taken as float32.
OTHERS = ("float16", "bfloat16", "float64")


def compute_in_float32() -> None:
    """Make every dtype policy of this process mean float32. Call it before layers are made.

    The names of policies stay: they say what the source was (see `policies`). Layers ask the policy whenever they
    compute, so a policy that was set when the user's file was imported follows too.
    """
    import keras

    policy = keras.DTypePolicy
    if not getattr(policy, "_edgekit_float32", False):
        policy.compute_dtype = property(lambda self: _float32(self._compute_dtype))
        policy.variable_dtype = property(lambda self: _float32(self._variable_dtype))
        policy._edgekit_float32 = True


@contextmanager
def computing_in_float64() -> Iterator[None]:
    """Let every layer that would compute in float32 compute in float64; weights are widened as they are used."""
    import keras

    policy = keras.DTypePolicy
    usual = policy.compute_dtype
    policy.compute_dtype = property(lambda self: "float64" if usual.fget(self) == "float32" else usual.fget(self))
    try:
        yield
    finally:
        policy.compute_dtype = usual


def inputs_in_float32(model: Any) -> None:
    """Declare floating inputs of a functional model, and of those inside it, as float32."""
    import keras

    for part in (model, *model._flatten_layers(include_self=False)):
        if isinstance(part, keras.Model):
            for tensor in getattr(part, "inputs", None) or ():
                tensor._dtype = _float32(tensor.dtype)  # a KerasTensor has no public way


def policies(layers: Iterable[Any]) -> tuple[str, ...]:
    """Names of the policies that are not followed, in the order of the layers."""
    names = [
        layer.dtype_policy.name
        for layer in layers
        if {getattr(layer.dtype_policy, part, None) for part in ("_compute_dtype", "_variable_dtype")} & set(OTHERS)
    ]
    return tuple(dict.fromkeys(names))


def _float32(dtype: str) -> str:
    return "float32" if dtype in OTHERS else dtype
