"""Run an artifact on its real runtime and hold its outputs against a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.parity.accuracy import AccuracyJudgement, find_task, judge_accuracy, refuse_labels, task_outputs
from edgekit.parity.criteria import judge
from edgekit.progress import Update
from edgekit.results import Parity, unique
from edgekit.runtimes import OpenOptions, runtime_for
from edgekit.runtimes.jobs import RunJob
from edgekit.types import VERDICTS, Blob, Effective, Evidence, Origin, Signature, worst


@dataclass(frozen=True, slots=True)
class Reference:
    """What an artifact is compared with: inputs and the source's own outputs.

    Attributes:
        signature: of the source, with sizes pinned.
        inputs: one ``.npy`` per input name, samples first, as blobs of the executor.
        outputs: one ``.npy`` per output name, on this machine.
        noise_floor: per output, the source's own change when its inputs move by one ulp.
        reacts: per input, whether any output depends on it.
        origin: whose inputs these are.
        labels: integer classes, ``(samples,)``, or None.
    """

    signature: Signature
    inputs: Mapping[str, Blob]
    outputs: Mapping[str, Path]
    noise_floor: Mapping[str, float]
    reacts: Mapping[str, bool]
    origin: Origin
    labels: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Memory-mapped outputs of the source."""
        return {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in self.outputs.items()}

    @property
    def samples(self) -> int:
        return min((len(array) for array in self.arrays().values()), default=0)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An artifact, run and compared.

    Attributes:
        signature: as the artifact declares it.
        parity: against the reference, the worst of all batch sizes.
        outputs: of the first batch size, one ``.npy`` per output name.
        fixed: free dimensions of the source that the artifact fixes.
        effective: what really ran.
        runtime: name and version of the engine.
    """

    signature: Signature
    parity: Parity
    outputs: Mapping[str, Path]
    fixed: tuple[str, ...]
    effective: Effective
    runtime: str


def evaluate(
    target: str,
    precision: str,
    files: tuple[Blob, ...],
    reference: Reference,
    *,
    executor: Executor,
    context: Context,
    batches: tuple[int, ...],
    options: OpenOptions | None = None,
    tolerance: float | None = None,
    update: Update = lambda progress: None,
) -> Evaluation:
    """Run every reference sample through an artifact, in a process of its own, once per batch size.

    Args:
        target: artifact format; decides the runtime.
        precision: decides the criteria.
        files: blobs of the executor, the entry file first.
        reference: inputs and expected outputs.
        executor: runs the job.
        context: of the device.
        batches: batch sizes; an artifact with a fixed batch is run with its own only.
        options: threads, precision and accelerator; f32 on the CPU when None.
        tolerance: replaces the derived bound.
        update: receives progress.

    Raises:
        EdgekitError: the runtime refused the file, crashed or ran past a limit.
    """
    row = runtime_for(target)
    job = RunJob(row.name, files, dict(reference.inputs), batches, options or OpenOptions())
    ran = executor.run_fresh(job, context, update)
    outputs = [{name: executor.path(blob) for name, blob in blobs.items()} for blobs in ran.outputs]
    evidence = Evidence(reference.origin, reference.samples, _shapes(reference, ran.batches, executor))
    faults = signature_faults(reference.signature, ran.signature)
    parities = [_judge(reference, paths, precision, evidence, tolerance) for paths in outputs]
    doubts = () if faults else _sizes_not_run(ran.signature)
    return Evaluation(
        signature=ran.signature,
        parity=_merge(parities, faults, (*doubts, *_not_pinned(precision, job.options, ran.effective))),
        outputs=outputs[0],
        fixed=() if faults else lost_freedom(reference.signature, ran.signature),
        effective=ran.effective,
        runtime=f"{row.name} {ran.version}",
    )


def signature_faults(source: Signature, artifact: Signature) -> tuple[str, ...]:
    """Names, order, ranks or dtypes that an artifact changed."""
    faults = []
    for noun, want, have in (("inputs", source.inputs, artifact.inputs), ("outputs", source.outputs, artifact.outputs)):
        if [(spec.name, len(spec.shape), spec.dtype) for spec in want] != [
            (spec.name, len(spec.shape), spec.dtype) for spec in have
        ]:
            faults.append(f"the {noun} should be {', '.join(map(str, want))}, but are {', '.join(map(str, have))}.")
    return tuple(faults)


def lost_freedom(source: Signature, artifact: Signature) -> tuple[str, ...]:
    """Free dimensions of the source that an artifact fixes, such as ``batch fixed to 1``."""
    lost = []
    for want, have in zip(source.inputs, artifact.inputs, strict=True):
        for axis, (free, length) in enumerate(zip(want.shape, have.shape, strict=True)):
            if free is None and length is not None:
                lost.append(
                    f"batch fixed to {length}"
                    if axis == 0
                    else f"input {want.name}: dimension {axis} fixed to {length}"
                )
    return unique(lost)


def _judge(
    reference: Reference, paths: Mapping[str, Path], precision: str, evidence: Evidence, tolerance: float | None
) -> Parity:
    got = {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in paths.items()}
    wanted = reference.arrays()
    found = task_outputs(wanted) if reference.labels is not None else ()
    return judge(
        wanted,
        got,
        precision=precision,
        noise_floor=dict(reference.noise_floor),
        evidence=evidence,
        tolerance=tolerance,
        reacts=dict(reference.reacts),
        task=found[0] if len(found) == 1 else None,
    )


def _merge(parities: list[Parity], faults: tuple[str, ...], doubts: tuple[str, ...]) -> Parity:
    """The worst batch size decides; a changed signature fails; a size that was not run cannot be claimed."""
    chosen = max(parities, key=lambda parity: VERDICTS.index(parity.verdict))
    verdicts = [chosen.verdict]
    if faults:
        verdicts.append("failed")
    if doubts:
        verdicts.append("weak")
    reasons = unique([*faults, *(reason for parity in parities for reason in parity.reasons), *doubts])
    return replace(chosen, verdict=worst(verdicts), reasons=reasons)


def _sizes_not_run(signature: Signature) -> tuple[str, ...]:
    return tuple(
        f"input {spec.name}: free dimension {axis} was run at one size only."
        for spec in signature.inputs
        for axis, length in enumerate(spec.shape)
        if axis > 0 and length is None
    )


def _not_pinned(precision: str, options: OpenOptions, effective: Effective) -> tuple[str, ...]:
    """A doubt about an fp32 artifact that the engine says it computed in less; what is only inferred says nothing."""
    ran = effective.precision
    if precision != "fp32" or options.precision != "f32" or ran.how != "engine" or "f16" not in (ran.value or ""):
        return ()
    return (f"asked for f32, the engine computed in {ran.value}.",)


def _shapes(reference: Reference, batches: Iterable[int], executor: Executor) -> tuple[str, ...]:
    found = []
    for batch in batches:
        for name, blob in reference.inputs.items():
            shape = (batch, *np.load(executor.path(blob), mmap_mode="r", allow_pickle=False).shape[1:])
            found.append(f"{name}={'x'.join(map(str, shape))}")
    return tuple(found)


def check_labels(reference: Reference) -> None:
    """Refuse labels that cannot be judged, which only the source's outputs show: call it before any conversion.

    Raises:
        UsageError: no output holds classes, or several could.
        DataError: labels that are no integers, one-hot rows, too many or few, or classes the output does not have.
    """
    if reference.labels is not None:
        outputs = reference.arrays()
        refuse_labels(reference.labels, outputs[find_task(outputs)])


def task_accuracy(
    reference: Reference, outputs: Mapping[str, Path], max_drop: float | None
) -> AccuracyJudgement | None:
    """Accuracy of an artifact beside its source's, on the output that the labels are about.

    Returns:
        None where the reference has no labels, or the artifact gives no such output, which fails its parity.

    Raises:
        UsageError, DataError: see `check_labels`.
    """
    if reference.labels is None:
        return None
    arrays = reference.arrays()
    name = find_task(arrays)
    refuse_labels(reference.labels, arrays[name])
    if name not in outputs:
        return None
    got = np.load(outputs[name], mmap_mode="r", allow_pickle=False)
    if got.shape != arrays[name].shape:
        return None
    return judge_accuracy(arrays[name], got, reference.labels, max_drop=max_drop)
