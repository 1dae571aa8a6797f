"""From a JAX function to ONNX and to StableHLO, for every hop that starts from one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import ModelError
from edgekit.exporter.hops._batches import BATCHES, with_free_batch
from edgekit.exporter.hops._jax_patches import convolutions_of_volumes
from edgekit.exporter.hops._names import jax_scopes
from edgekit.exporter.hops._onnx import name_outputs, opset_of, save
from edgekit.exporter.hops._pooling import to_channels_first
from edgekit.exporter.hops._shapes import free_size, traced
from edgekit.types import Signature

if TYPE_CHECKING:
    import jax
    import onnx

    from edgekit.exporter.graph import HopRequest

Function = Callable[..., tuple[Any, ...]]

#: Makes a function for abstract inputs.
Way = Callable[[Sequence[Any]], Function]

#: Loops up to this many steps are written out in ONNX: 1.3 to 2.8 times faster than a loop on both engines (LSTM
#: with 12 steps, two GRU with 10), and their matrices can be quantized.
MOST_STEPS_ONNX = 32

#: Most steps of a loop for TFLite: it is written out, for the converters behind StableHLO know no loops.
MOST_STEPS_STABLEHLO = 128

#: The file of StableHLO between two hops: portable bytecode.
MODULE = "model.mlir"


def to_onnx(function: Function, arrays: Sequence[Any], request: HopRequest) -> Path:
    """Write ``model.onnx`` by jax2onnx; free dimensions stay free.

    Args:
        function: takes and returns flat arrays in the signature's order.
        arrays: abstract inputs, symbols for free dimensions (`symbolic`).
        request: what to convert.

    Raises:
        ModelError: JAX cannot express what the function does with a free dimension.
    """
    with undecided(request):
        model = _converted(function, arrays, request)
    to_channels_first(model.graph)
    return save(model, request)


def to_onnx_somehow(ways: Sequence[Way], arrays: Sequence[Any], request: HopRequest) -> Path:
    """Write ``model.onnx`` in the first way whose result onnxruntime runs.

    jax2onnx replaces functions of JAX and layers of Flax by its own while it traces. That gives fewer operators (a
    transformer of two blocks runs in 0.8 ms, not 1.7), but its own do not take every argument, and now and then fix
    the batch. Primitive by primitive (`edgekit.exporter.sources._jaxpr`) more models get through. Where the batch is
    what none of them keeps free, two graphs of a fixed batch become one (`edgekit.exporter.hops._batches`).

    Args:
        ways: from abstract inputs to functions that compute the same, the better one first.
        arrays, request: see `to_onnx`.

    Raises:
        Exception: of the last way.
    """
    opset_of(request)  # refused before any work
    refusal: Exception | None = None
    for way in ways:
        try:
            return _checked(to_onnx(_made(way, arrays, request), arrays, request), request)
        except Exception as err:  # noqa: BLE001  # jax2onnx fails in many ways; what fails on the last way is raised
            refusal = err
    for way in ways if _only_batch_is_free(request.signature) else ():
        try:
            return _checked(_of_two_batches(way, request), request)
        except Exception as err:  # noqa: BLE001  # the same; what was said about the free batch is more to the point
            logging.getLogger(__name__).debug("of two batches: %s", err)
    assert refusal is not None
    raise refusal


def _made(way: Way, arrays: Sequence[Any], request: HopRequest) -> Function:
    with undecided(request):
        return way(arrays)


def _of_two_batches(way: Way, request: HopRequest) -> Path:
    """Write ``model.onnx`` from what the function gives for two batches.

    Raises:
        Exception: jax2onnx fails, or the two differ in more than the batch.
    """
    import jax

    models = []
    for batch in BATCHES:
        arrays = [
            jax.ShapeDtypeStruct((batch, *(length or 1 for length in spec.shape[1:])), spec.dtype)
            for spec in request.signature.inputs
        ]
        models.append(_converted(way(arrays), arrays, request))
    model = with_free_batch(models, [spec.name for spec in request.signature.inputs])
    to_channels_first(model.graph)
    return save(model, request)


def _only_batch_is_free(signature: Signature) -> bool:
    free = [[length is None for length in spec.shape] for spec in signature.inputs]
    return all(axes[0] and not any(axes[1:]) for axes in free)


def _checked(path: Path, request: HopRequest) -> Path:
    _run_once(path, request.signature)
    return path


def _run_once(path: Path, signature: Signature) -> None:
    """Run a file with batches of one and three: a shape that the converter fixed shows at once.

    Raises:
        Exception: onnxruntime's own.
    """
    import numpy as np
    import onnxruntime

    if signature.batch is not None or any(None in spec.shape[1:] for spec in signature.inputs):
        return
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a failure here is no error: the next way is tried
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        shapes = {spec.name: (batch, *(length or 1 for length in spec.shape[1:])) for spec in signature.inputs}
        session.run(None, {spec.name: np.ones(shapes[spec.name], spec.dtype) for spec in signature.inputs})


def fixed(signature: Signature) -> list[jax.ShapeDtypeStruct]:
    """One abstract array per input; a free batch becomes 1.

    Raises:
        ModelError: a dimension besides the batch is free.
    """
    import jax

    pairs = zip(traced(signature, 1), signature.inputs, strict=True)
    return [jax.ShapeDtypeStruct(shape, spec.dtype) for shape, spec in pairs]


def to_stablehlo(function: Function, signature: Signature) -> Any:
    """The ``jax.export.Exported`` of a function, weights as constants; a free batch becomes 1.

    Raises:
        ModelError: a dimension besides the batch is free.
    """
    import jax

    return jax.export.export(jax.jit(function), platforms=["cpu"])(*fixed(signature))


def too_many_steps(loops: tuple[str, ...], hint: str) -> ModelError:
    """The refusal of loops that are not written out."""
    return ModelError(
        "too-many-steps",
        f"this converter writes loops out step by step, at most {MOST_STEPS_STABLEHLO} fixed steps.",
        received=", ".join(loops),
        hint=hint,
    )


def _converted(function: Function, arrays: Sequence[Any], request: HopRequest) -> onnx.ModelProto:
    with _without_equinox(), jax_scopes(), convolutions_of_volumes():
        import jax2onnx

        model = jax2onnx.to_onnx(
            function,
            arrays,
            model_name="model",
            opset=opset_of(request),
            input_names=[spec.name for spec in request.signature.inputs],
        )
    name_outputs(model.graph, [spec.name for spec in request.signature.outputs])
    return model


@contextmanager
def undecided(request: HopRequest) -> Iterator[None]:
    """Say what to do about a function that JAX traces only with fixed lengths.

    Raises:
        ModelError: a length must be fixed.
    """
    import jax

    try:
        yield
    except jax.errors.InconclusiveDimensionOperation as err:
        for spec in request.signature.inputs:
            if None in spec.shape[1:]:
                raise free_size(spec) from err
        spec = request.signature.inputs[0]
        pin = "x".join(["1", *map(str, spec.shape[1:])])
        raise ModelError(
            "free-batch",
            "JAX cannot express what the function does with a batch of any length.",
            received=str(spec),
            hint=f"Fix the batch, for example: --input {spec.name}={pin}",
        ) from err


@contextmanager
def _without_equinox() -> Iterator[None]:
    """Hide one framework from jax2onnx, which compiles layers of every framework it finds: 3 s."""
    logger = logging.getLogger("jax2onnx")
    level = logger.level
    hidden = "equinox" not in sys.modules
    if hidden:
        sys.modules["equinox"] = None  # type: ignore[assignment]  # None makes an import fail
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if hidden:
            del sys.modules["equinox"]
            logger.setLevel(level)
