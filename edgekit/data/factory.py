"""Code that yields batches: generators, loaders and data sets of every framework, through the arrays they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from edgekit.data.registry import Piece, ReadRequest
from edgekit.data.spec import whole_number
from edgekit.errors import DataError
from edgekit.jobs.code import Code, function_of, users_code
from edgekit.jobs.protocol import Progress

_FORM = "Yield a dict of arrays by input name (labels among them, named by --labels), or a tuple (inputs, labels)."


def read(request: ReadRequest) -> Iterator[Piece]:
    """Batches in the order in which the code yields them.

    A batch is a dict by input name; an array for the only input; the inputs in their order; or ``(inputs, labels)``,
    as in Keras and torch. Values are arrays of numpy, torch, JAX or TensorFlow. What the function returns may be a
    generator, a torch ``DataLoader`` or ``Dataset`` (whose items are single samples), a ``tf.data.Dataset``, a
    ``keras.utils.PyDataset``, or all samples as one batch. ``limit=`` takes only so many samples, from the first.

    Raises:
        DataError: the code raised, or what it yields is no batch.
    """
    assert request.code is not None
    limit = whole_number(request.text, "limit", request.options["limit"]) if "limit" in request.options else None
    done = 0
    for batch in _batches(request.code):
        inputs, labels = _piece(batch, request)
        if limit is not None:
            inputs = {name: array[: limit - done] for name, array in inputs.items()}
            labels = None if labels is None else labels[: limit - done]
        done += min((len(array) for array in inputs.values() if array.ndim), default=0)
        request.progress(Progress("read samples", done, limit or 0))
        yield inputs, labels
        if limit is not None and done >= limit:
            return


def _batches(code: Code) -> Iterator[Any]:
    """What the user's code yields, whatever it raises said to be its own."""
    function = function_of(code, DataError)
    with users_code(code, DataError):
        batches = iter(_iterable(function()))
    while True:
        with users_code(code, DataError):
            try:
                batch = next(batches)
            except StopIteration:
                return
        yield batch


def _iterable(made: Any) -> Iterable[Any]:
    """What a factory returned, as batches."""
    if isinstance(made, (Mapping, np.ndarray, tuple)) or _is_tensor(made):
        return [made]
    if _derived(made, "keras", "PyDataset"):
        return (made[index] for index in range(made.num_batches if made.num_batches is not None else len(made)))
    if _derived(made, "torch", "Dataset") and not _derived(made, "torch", "IterableDataset"):
        return (_alone(made[index]) for index in range(len(made)))
    if _derived(made, "torch", "IterableDataset"):
        return map(_alone, made)
    if isinstance(made, Iterable):
        return made
    raise DataError(
        "not-batches",
        "the function should return or yield batches of samples.",
        received=type(made).__name__,
        hint=_FORM,
    )


def _alone(sample: Any) -> Any:
    """One sample of a torch data set as a batch of one."""
    if isinstance(sample, Mapping):
        return {name: _alone(value) for name, value in sample.items()}
    if isinstance(sample, (tuple, list)):
        return tuple(_alone(value) for value in sample)
    return _array(sample)[None]


def _piece(batch: Any, request: ReadRequest) -> Piece:
    names = [spec.name for spec in request.signature.inputs]
    labels: Any = None
    if isinstance(batch, (tuple, list)):
        batch, labels = _parted(batch, names)
    if not isinstance(batch, Mapping):
        values = list(batch) if isinstance(batch, (tuple, list)) else [batch]
        if len(values) != len(names):
            raise _misfit(f"{len(values)} arrays", names)
        batch = dict(zip(names, values, strict=True))
    inputs = {name: _array(value) for name, value in batch.items() if name not in (request.labels, request.spare)}
    if request.labels is None:
        return inputs, None
    if labels is None:
        labels = batch.get(request.labels)
    if labels is None:
        raise DataError(
            "no-labels",
            "the batches hold no labels.",
            received=f"{', '.join(map(str, batch))} for --labels {request.labels}",
            hint=_FORM,
        )
    return inputs, _array(labels)


def _parted(batch: tuple[Any, ...] | list[Any], names: list[str]) -> tuple[Any, Any]:
    """Inputs and labels of a tuple; the labels are None where there are only inputs."""
    nested = len(batch) == 2 and isinstance(batch[0], (Mapping, tuple, list))
    if nested or (len(names) == 1 and len(batch) == 2):
        return batch[0], batch[1]
    if len(batch) == len(names) + 1:
        return list(batch[:-1]), batch[-1]
    if len(batch) == len(names):
        return list(batch), None
    raise _misfit(f"a {type(batch).__name__} of {len(batch)}", names)


def _misfit(received: str, names: list[str]) -> DataError:
    return DataError(
        "not-batches",
        f"a batch should hold the inputs {', '.join(names)}, and labels after them or none.",
        received=received,
        hint=_FORM,
    )


def _array(value: Any) -> np.ndarray:
    """The numbers of an array or tensor of any framework, on the host.

    Raises:
        DataError: no array of numbers.
    """
    if _derived(value, "torch", "Tensor"):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as err:
        raise _no_array(value) from err
    if array.dtype == object or array.dtype.kind in "US":
        raise _no_array(value)
    return array


def _no_array(value: Any) -> DataError:
    return DataError(
        "not-an-array", "a batch should hold arrays of numbers.", received=type(value).__name__, hint=_FORM
    )


def _is_tensor(made: Any) -> bool:
    return hasattr(made, "shape") and hasattr(made, "dtype")


def _derived(made: Any, package: str, name: str) -> bool:
    """Whether an object is of a framework's class, by the names of its classes: nothing is imported to find out."""
    return any(kind.__module__.partition(".")[0] == package and kind.__name__ == name for kind in type(made).__mro__)
