"""What a torch module gives back, found by running it: names, sizes that follow the inputs, and whether it can be
trusted to compute the same for a sample each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekit.errors import EdgekitError, ModelError, UsageError
from edgekit.exporter.sources.torch_signature import BATCHES, SIZES, check_tensor, dtype_of, leaves, output_names
from edgekit.types import Signature, TensorSpec

#: Relative difference of an output between two runs from which they are not the same computation.
DIFFERENT = 1e-3

#: Inputs in the signature's order to whatever the module returns.
Run = Callable[[Sequence[Any]], Any]

Length = Callable[[int], int]


@dataclass(frozen=True)
class Probed:
    """What running a module showed.

    Attributes:
        signature: of the module.
        samples: inputs to trace it with, two of a free batch.
        notes: what the user should know.
    """

    signature: Signature
    samples: tuple[Any, ...]
    notes: tuple[str, ...] = ()


def probe(run: Run, specs: tuple[TensorSpec, ...], examples: Sequence[Any]) -> Probed:
    """Run a module at several sizes.

    Args:
        run: it.
        specs: of its inputs; None is free.
        examples: a tensor per input, of any batch.

    Raises:
        ModelError: it does not run, returns something else than tensors with a batch axis, or something else each time.
        UsageError: a length that should be free is not.
    """
    try:
        found = _at_free_batch(run, specs, examples)
    except EdgekitError:
        raise
    except Exception as err:  # forward raises whatever it likes
        if all(spec.shape[0] is not None for spec in specs):
            raise _uncallable(specs, err) from err
        found = _at_fixed_batch(run, specs, examples, err)
    _check_steady(run, found)
    return found


def sized(spec: TensorSpec, example: Any, batch: int, length: Length) -> Any:
    """An example of another size: its values, repeated or cut."""
    import torch

    tensor = example.to(getattr(torch, spec.dtype))
    for axis, wanted in enumerate(spec.shape):
        have = example.shape[axis]
        size = wanted if wanted is not None else batch if axis == 0 else length(have)
        if size != have:
            tensor = tensor.index_select(axis, torch.arange(size) % max(have, 1))
    return tensor.clone()


def _at_free_batch(run: Run, specs: tuple[TensorSpec, ...], examples: Sequence[Any]) -> Probed:
    lengths: list[Length] = [lambda have: max(have, 2), lambda have: 2 * max(have, 2)]
    lengths += [lambda _, size=size: size for size in SIZES]  # type: ignore[misc]  # the default binds the size
    free = any(None in spec.shape[1:] for spec in specs)
    working, runs, refusals = [], [], []
    for length in lengths if free else lengths[:1]:
        try:
            runs.append(_run_at(run, specs, examples, BATCHES[0], length))
            working.append(length)
        except EdgekitError:
            raise
        except Exception as err:  # noqa: BLE001  # forward raises whatever it likes
            refusals.append(err)
        if len(runs) == (2 if free else 1):
            break
    if not runs:
        raise refusals[0]
    if free and len(runs) == 1:
        raise _not_free(specs, refusals[-1]) from refusals[-1]
    if any(spec.shape[0] is None for spec in specs):
        runs += [_run_at(run, specs, examples, batch, working[0]) for batch in BATCHES[1:]]
    samples = tuple(sized(spec, ex, BATCHES[0], working[0]) for spec, ex in zip(specs, examples, strict=True))
    return Probed(Signature(specs, _outputs(specs, [found for found, _ in runs], runs[0][1])), samples)


def _at_fixed_batch(run: Run, specs: tuple[TensorSpec, ...], examples: Sequence[Any], refusal: Exception) -> Probed:
    """With the batch of the examples, where the module runs with no other."""
    for batch in dict.fromkeys((int(examples[0].shape[0]), 1)):
        fixed = tuple(replace(spec, shape=(spec.shape[0] or batch, *spec.shape[1:])) for spec in specs)
        try:
            found = _at_free_batch(run, fixed, examples)
        except EdgekitError:
            raise
        except Exception:  # noqa: BLE001  # the first refusal is the one to tell
            continue
        reason = f"the model runs with a batch of {batch} only: {_first_line(refusal)}"
        return replace(found, notes=(reason,))
    raise _uncallable(specs, refusal) from refusal


def _run_at(
    run: Run, specs: Sequence[TensorSpec], examples: Sequence[Any], batch: int, length: Length
) -> tuple[list[Any], list[str]]:
    """Outputs and their names.

    Raises:
        ModelError: an output is no tensor, or its first axis is not the batch.
    """
    tensors = [sized(spec, example, batch, length) for spec, example in zip(specs, examples, strict=True)]
    structure = run(tensors)
    names = output_names(structure, [spec.name for spec in specs])
    outputs = [leaf for _, leaf in leaves(structure, "") if leaf is not None]
    if not outputs:
        raise ModelError("no-outputs", "the model returns nothing.", hint="Return the tensors that it computes.")
    expected = tensors[0].shape[0]
    for name, output in zip(names, outputs, strict=True):
        check_tensor("output", name, output)
        if output.shape[0] != expected:
            raise ModelError(
                "no-batch-axis",
                f"the first axis of output {name} is not the batch.",
                received=f"{expected} samples in, shape {tuple(output.shape)} out",
                hint="Return only outputs with one row per sample; put the batch first (batch_first=True).",
            )
    return outputs, names


def _outputs(
    specs: Sequence[TensorSpec], runs: Sequence[Sequence[Any]], names: Sequence[str]
) -> tuple[TensorSpec, ...]:
    """Shapes that all runs agree on; None where they differ.

    Raises:
        ModelError: the number of outputs or of their axes depends on the size of the inputs.
    """
    if len({tuple(output.dim() for output in outputs) for outputs in runs}) != 1:
        raise ModelError(
            "changing-outputs",
            "the model returns other outputs for inputs of another size.",
            received=", ".join(map(str, specs)),
            hint="Fix the size: --input NAME=?x3x224x224.",
        )
    found = []
    for name, same in zip(names, zip(*runs, strict=True), strict=True):
        lengths = zip(*(output.shape for output in same), strict=True)
        shape = tuple(int(axis[0]) if len(set(axis)) == 1 else None for axis in lengths)
        found.append(TensorSpec(name, shape, dtype_of(same[0])))
    return tuple(found)


def _check_steady(run: Run, found: Probed) -> None:
    """Refuse a model whose answer for a sample is random, or depends on the other samples in its batch.

    Raises:
        ModelError: says which.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    noisy = [
        sample + torch.randn(sample.shape, generator=generator, dtype=sample.dtype)
        if sample.dtype.is_floating_point
        else sample
        for sample in found.samples
    ]
    whole, again = _flat(run(noisy)), _flat(run(noisy))
    if not _same(whole, again):
        raise ModelError(
            "random-outputs",
            "the model returns something else each time for the same inputs.",
            received=", ".join(map(str, found.signature.outputs)),
            hint="Turn dropout off with the module: functional.dropout(x, training=self.training).",
        )
    if any(spec.shape[0] is not None for spec in found.signature.inputs):
        return
    alone = [_flat(run([tensor[row : row + 1] for tensor in noisy])) for row in range(len(noisy[0]))]
    if not _same(whole, [torch.cat(rows) for rows in zip(*alone, strict=True)]):
        raise ModelError(
            "mixed-samples",
            "the model's outputs for a sample depend on the other samples in its batch.",
            received=", ".join(map(str, found.signature.inputs)),
            hint="Put the batch first (batch_first=True), or fix its length with --input.",
        )


def _flat(structure: Any) -> list[Any]:
    return [leaf for _, leaf in leaves(structure, "") if leaf is not None]


def _same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Whether floating outputs agree to `DIFFERENT` of their largest value."""
    for one, other in zip(left, right, strict=True):
        if one.dtype.is_floating_point:
            scale = one[one.isfinite()].abs().max() if one.isfinite().any() else one.new_ones(())
            if not one.allclose(other, rtol=0, atol=float(scale) * DIFFERENT + 1e-30, equal_nan=True):
                return False
    return True


def _uncallable(specs: Sequence[TensorSpec], err: Exception) -> ModelError:
    return ModelError(
        "uncallable-model",
        f"the model cannot be called on its inputs: {_first_line(err)}",
        received=", ".join(map(str, specs)),
        hint="Give inputs that fit with example_inputs beside the factory, or --input NAME=?x3x224x224:float32.",
    )


def _not_free(specs: Sequence[TensorSpec], err: Exception) -> UsageError:
    spec = next(spec for spec in specs if None in spec.shape[1:])
    return UsageError(
        "wrong-pin",
        f"the model does not run with several sizes of input {spec.name}: {_first_line(err)}",
        received=str(spec),
        hint="Fix the size: put its length for ? in --input.",
    )


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:300]
