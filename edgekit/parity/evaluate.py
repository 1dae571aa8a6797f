"""Run an artifact on its real runtime and hold its outputs against a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgekit.checked import DefaultRun, Parity
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.parity.accuracy import AccuracyJudgement, task_outputs
from edgekit.parity.batches import batch_faults
from edgekit.parity.coverage import Range
from edgekit.parity.criteria import judge
from edgekit.parity.default_run import default_run
from edgekit.parity.edges import AT_EDGES, judge_edges, runs_at_edges
from edgekit.parity.signatures import not_kept, signature_faults
from edgekit.parity.task import ACCURACY, Metric, Task
from edgekit.progress import Update
from edgekit.results import unique
from edgekit.runtimes import OpenOptions, runtime_for
from edgekit.runtimes.jobs import RunJob, RunResult
from edgekit.runtimes.widths import widened
from edgekit.types import VERDICTS, Blob, Effective, Evidence, Origin, Signature, worst

#: How the reason of a run at other lengths begins.
ELSEWHERE = "at another size: "


@dataclass(frozen=True, slots=True)
class OtherSize:
    """A few samples with other lengths of the free dimensions, and the source's outputs.

    Attributes:
        inputs, outputs, noise, reacts: as in `Reference`.
        edge: whether these are inputs at the edges of what the model may meet instead, of the usual lengths.
    """

    inputs: Mapping[str, Blob]
    outputs: Mapping[str, Path]
    noise: Mapping[str, Mapping[str, float]]
    reacts: Mapping[str, bool]
    edge: bool = False

    def arrays(self) -> dict[str, np.ndarray]:
        """Memory-mapped outputs of the source."""
        return _mapped(self.outputs)


@dataclass(frozen=True, slots=True)
class Reference:
    """What an artifact is compared with: inputs and the source's own outputs.

    Attributes:
        signature: of the source, with sizes pinned.
        inputs: one ``.npy`` per input name, samples first, as blobs of the executor.
        outputs: one ``.npy`` per output name, on this machine.
        noise: per output and method, how far the source moves when nothing but rounding changes.
        reacts: per input, whether any output depends on it.
        origin: whose inputs these are.
        labels: samples first, or None.
        sizes: what a free dimension besides the batch is proven with.
        task: what the labels are for; accuracy where there are labels and this is None. See `with_labels`.
        known: least and largest number of each input over all real samples that were met.
        beyond: a sentence for each input that reaches far beyond that.
        range_covered: see `Evidence`.
    """

    signature: Signature
    inputs: Mapping[str, Blob]
    outputs: Mapping[str, Path]
    noise: Mapping[str, Mapping[str, float]]
    reacts: Mapping[str, bool]
    origin: Origin
    labels: np.ndarray | None = None
    sizes: tuple[OtherSize, ...] = ()
    task: Task | None = None
    known: Mapping[str, Range] = field(default_factory=dict)
    beyond: tuple[str, ...] = ()
    range_covered: float | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Memory-mapped outputs of the source."""
        return _mapped(self.outputs)

    @property
    def samples(self) -> int:
        return min((len(array) for array in self.arrays().values()), default=0)

    def evidence(self, shapes: tuple[str, ...]) -> Evidence:
        """What a comparison with these samples rests on, run in these shapes."""
        return Evidence(self.origin, self.samples, shapes, self.range_covered, reacts=dict(self.reacts))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An artifact, run and compared.

    Attributes:
        signature: as the artifact declares it.
        parity: against the reference, the worst of all batch sizes and lengths.
        outputs: of the first batch size, one ``.npy`` per output name.
        fixed: what the artifact cannot keep of the source's signature: a free batch, the width of integers.
        effective: what really ran.
        runtime: name and version of the engine.
        by_default: the same where the engine chooses the precision; None where it was not asked for, or is the same.
    """

    signature: Signature
    parity: Parity
    outputs: Mapping[str, Path]
    fixed: tuple[str, ...]
    effective: Effective
    runtime: str
    by_default: DefaultRun | None = None


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
    measured: bool = False,
    by_default: bool = False,
    update: Update = lambda progress: None,
) -> Evaluation:
    """Run an artifact in a process of its own: on every sample in the first batch size, on the first few in the others,
    and on those of other lengths and at the edges.

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
        measured: whether the task metric of the reference is judged beside this, with a limit.
        by_default: run an fp32 artifact once more in the precision of the engine's own choice, where that is another.
        update: receives progress.

    Raises:
        EdgekitError: the runtime refused the file, crashed or ran past a limit.
    """
    row = runtime_for(target)
    others = [size for size in reference.sizes if not size.edge]
    edge = next((size for size in reference.sizes if size.edge and runs_at_edges(precision, tolerance)), None)
    job = RunJob(
        row.name,
        files,
        dict(reference.inputs),
        batches,
        options or OpenOptions(),
        tuple(dict(size.inputs) for size in others),
        {} if edge is None else dict(edge.inputs),
        by_default and precision == "fp32",
    )
    ran = executor.run_fresh(job, context, update)
    outputs = [_paths(blobs, executor) for blobs in ran.outputs]
    shapes = _shapes(reference, others, ran, executor)
    evidence = reference.evidence(unique(f"{name}={'x'.join(map(str, shape))}" for name, shape in shapes))
    faults = signature_faults(reference.signature, ran.signature)
    source = reference.arrays()
    worse = batch_faults(source, [_as_source(source, paths) for paths in outputs], ran.batches, precision)
    parities = [_judge(reference, paths, precision, evidence, tolerance, measured) for paths in outputs]
    for size, blobs in zip(others, ran.sizes, strict=True):
        if blobs:
            parities.extend(_judge_size(size, _paths(blobs, executor), precision, evidence, tolerance))
    if edge is not None and ran.edges:
        wanted = edge.arrays()
        got = _as_source(wanted, _paths(ran.edges, executor))
        parities.extend(filter(None, [judge_edges(wanted, got, precision, edge.noise, evidence)]))
    doubts = () if faults else _sizes_not_run(ran.signature, shapes)
    return Evaluation(
        signature=ran.signature,
        parity=_merge(parities, (*faults, *worse), (*doubts, *_not_pinned(precision, job.options, ran.effective))),
        outputs=outputs[0],
        fixed=() if faults else not_kept(reference.signature, ran.signature),
        effective=ran.effective,
        runtime=f"{row.name} {ran.version}",
        by_default=_by_default(reference, ran, executor),
    )


def _by_default(reference: Reference, ran: RunResult, executor: Executor) -> DefaultRun | None:
    if ran.chosen is None:
        return None
    wanted = reference.arrays()
    got = _as_source(wanted, _paths(ran.unpinned, executor))
    first = {name: array[: len(got[name])] for name, array in wanted.items() if name in got}
    return default_run(first, got, ran.chosen, reference.evidence(()))


def compare(reference: Reference, outputs: Mapping[str, Path], precision: str) -> Parity:
    """Judge outputs that an artifact has given already; nothing runs.

    Args:
        reference: what they are held against.
        outputs: one ``.npy`` per output name.
        precision: decides the criteria.
    """
    return _judge(reference, outputs, precision, reference.evidence(()), None, False)


def _judge(
    reference: Reference,
    paths: Mapping[str, Path],
    precision: str,
    evidence: Evidence,
    tolerance: float | None,
    measured: bool,
) -> Parity:
    wanted = reference.arrays()
    return judge(
        wanted,
        _as_source(wanted, paths),
        precision=precision,
        noise=reference.noise,
        evidence=evidence,
        tolerance=tolerance,
        task=_class_output(reference, wanted),
        values=reference.task.value_output if reference.task is not None else None,
        measured=measured and reference.labels is not None,
    )


def _judge_size(
    size: OtherSize, paths: Mapping[str, Path], precision: str, evidence: Evidence, tolerance: float | None
) -> tuple[Parity, ...]:
    """The same at other lengths, on samples that are real nowhere.

    They decide on fp32, where equality of function is the claim. An artifact of another precision was made from such
    a one and can only fail here, by an error larger than the output.
    """
    wanted = size.arrays()
    judged = judge(
        wanted,
        _as_source(wanted, paths),
        precision="fp32" if precision == "fp32" else "int8-weights",
        noise=size.noise,
        evidence=replace(evidence, inputs="generated", range_covered=None, reacts=dict(size.reacts)),
        tolerance=tolerance,
    )
    if precision != "fp32" and judged.verdict != "failed":
        return ()
    reasons = tuple(f"{ELSEWHERE}{reason}" for reason in judged.reasons)
    return (replace(judged, reasons=reasons),)


def _as_source(wanted: Mapping[str, np.ndarray], paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Outputs of an artifact in the source's dtypes, where only the width of integers differs."""
    found = _mapped(paths)
    return {name: widened(array, str(wanted[name].dtype)) if name in wanted else array for name, array in found.items()}


def _paths(blobs: Mapping[str, Blob], executor: Executor) -> dict[str, Path]:
    return {name: executor.path(blob) for name, blob in blobs.items()}


def _mapped(paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    return {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in paths.items()}


def _merge(parities: list[Parity], faults: tuple[str, ...], doubts: tuple[str, ...]) -> Parity:
    """The worst run decides; a changed signature fails; a size that was not run cannot be claimed."""
    chosen = max(parities, key=lambda parity: VERDICTS.index(parity.verdict))
    verdicts = [chosen.verdict]
    if faults:
        verdicts.append("failed")
    if doubts:
        verdicts.append("weak")
    found = unique([*faults, *(reason for parity in parities for reason in parity.reasons), *doubts])
    reasons = tuple(reason for reason in found if _plain(reason) == reason or _plain(reason) not in found)
    return replace(chosen, verdict=worst(verdicts), reasons=reasons, evidence=parities[0].evidence)


def _plain(reason: str) -> str:
    return reason.removeprefix(ELSEWHERE).removeprefix(AT_EDGES)


def _sizes_not_run(signature: Signature, ran: Iterable[tuple[str, tuple[int, ...]]]) -> tuple[str, ...]:
    """Free dimensions besides the batch that were run at one length only."""
    ran = list(ran)
    return tuple(
        f"input {spec.name}: free dimension {axis} was run at one size only."
        for spec in signature.inputs
        for axis, length in enumerate(spec.shape)
        if axis > 0 and length is None and len({shape[axis] for name, shape in ran if name == spec.name}) < 2
    )


def _not_pinned(precision: str, options: OpenOptions, effective: Effective) -> tuple[str, ...]:
    """A doubt about an fp32 artifact that the engine says it computed in less; what is only inferred says nothing."""
    ran = effective.precision
    if precision != "fp32" or options.precision != "f32" or ran.how != "engine" or "f16" not in (ran.value or ""):
        return ()
    return (f"asked for f32, the engine computed in {ran.value}.",)


def _shapes(
    reference: Reference, sizes: Sequence[OtherSize], ran: RunResult, executor: Executor
) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of every input of every run."""
    runs = [(batch, reference.inputs) for batch in ran.batches]
    runs += [(ran.batches[-1], size.inputs) for size, done in zip(sizes, ran.sizes, strict=True) if done]
    found = []
    for batch, inputs in runs:
        for name, blob in inputs.items():
            lengths = np.load(executor.path(blob), mmap_mode="r", allow_pickle=False).shape[1:]
            found.append((name, (batch, *lengths)))
    return found


def with_labels(
    reference: Reference, labels: np.ndarray | None, metric: Metric = ACCURACY, executor: Executor | None = None
) -> Reference:
    """A reference whose artifacts are judged by a task metric too. Call it before any conversion: it refuses what
    cannot be judged, and measures the source.

    Args:
        reference: of the samples that the labels are of.
        labels: samples first; None leaves the reference without a task.
        metric: what to measure.
        executor: runs the user's own metric, see `Task`.

    Raises:
        UsageError, DataError: see `Task`.
    """
    task = None if labels is None else Task(metric, labels, reference.arrays(), executor)
    return replace(reference, labels=labels, task=task)


def check_labels(reference: Reference) -> None:
    """Refuse labels that cannot be judged, which only the source's outputs show: call it before any conversion.

    Raises:
        UsageError, DataError: see `Task`.
    """
    _task(reference)


def task_accuracy(
    reference: Reference, outputs: Mapping[str, Path], max_drop: float | None, *, interval: bool = True
) -> AccuracyJudgement | None:
    """The task metric of an artifact beside its source's, on the output that the labels are about.

    Args:
        reference: what the artifact is compared with.
        outputs: of the artifact, one ``.npy`` per output name.
        max_drop: largest accepted loss, in the metric's unit.
        interval: leave out the interval of the drop, in a search; the verdict is then of no use.

    Returns:
        None where the reference has no labels, or the artifact gives no such output, which fails its parity.

    Raises:
        UsageError, DataError: see `Task`.
    """
    task = _task(reference)
    if task is None:
        return None
    got = _mapped(outputs)
    return task.judge(got, max_drop, interval=interval) if task.fits(got) else None


def _task(reference: Reference) -> Task | None:
    known = reference.task
    if reference.labels is None:
        return None
    if known is not None and known.labels is reference.labels:
        return known
    metric, executor = (ACCURACY, None) if known is None else (known.metric, known.executor)
    return Task(metric, reference.labels, reference.arrays(), executor)


def _class_output(reference: Reference, wanted: Mapping[str, np.ndarray]) -> str | None:
    """The output that surely holds classes, since there are labels of them."""
    if reference.labels is None:
        return None
    if reference.task is not None:
        return reference.task.class_output
    found = task_outputs(wanted)
    return found[0] if len(found) == 1 else None
