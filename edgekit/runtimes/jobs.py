"""Jobs on a runtime: run an artifact on samples, time one opening of it. Part of the device core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from edgekit.errors import ModelError
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.array_file import ArrayFile
from edgekit.runtimes.base import Arrays, OpenOptions, Runtime, Session
from edgekit.runtimes.clusters import on_cluster
from edgekit.runtimes.environment import probe
from edgekit.runtimes.registry import installed_runtime
from edgekit.runtimes.timing import Opening, TimingPlan, time_opening
from edgekit.runtimes.widths import narrowed
from edgekit.types import Blob, Effective, Signature

#: Batches of each further size that are run.
REPEATED = 2

#: On an emulated CPU times mean nothing: the first inference, one more and a timed one test the path.
PATH_ONLY: dict[str, Any] = {
    "warmup_min_runs": 0, "warmup_min_s": 0.0, "min_runs": 1, "min_s": 0.0, "max_s": 0.0,
}  # fmt: skip

#: Samples that are run in the precision of the engine's own choice: for information, at the cost of a compilation.
UNPINNED = 8


@dataclass(frozen=True)
class RunResult:
    """Outputs of an artifact on samples.

    Attributes:
        signature: as the artifact declares it.
        outputs: one ``.npy`` per output name, samples first, for each batch size that was run.
        batches: the batch sizes that were run.
        effective: what really ran.
        version: of the engine.
        sizes: outputs for each further set of inputs; nothing for a set that the artifact's fixed sizes rule out.
        edges: outputs for inputs at the edges; nothing where the engine refuses them.
        unpinned: outputs of the first samples where the engine chose the precision; nothing where it would choose the
            same.
        chosen: what it then computed in.
    """

    signature: Signature
    outputs: tuple[dict[str, Blob], ...]
    batches: tuple[int, ...]
    effective: Effective
    version: str
    sizes: tuple[dict[str, Blob], ...] = ()
    edges: dict[str, Blob] = field(default_factory=dict)
    unpinned: dict[str, Blob] = field(default_factory=dict)
    chosen: Optional[str] = None


@dataclass(frozen=True)
class RunJob(Job[RunResult]):
    """Run an artifact on samples: on all of them in the first batch size, on the first few in every other.

    What another batch changes shows in any batch of that size, where a sample that goes wrong may be one of many. So
    the outputs of a further batch size are those of its own few samples, and of the first batch size for the others.
    A batch size that the artifact itself rules out is left out; the result says which were run.

    Attributes:
        runtime: name in the registry.
        files: the artifact, the entry file first.
        inputs: one ``.npy`` per input name, samples first.
        batches: batch sizes to run the samples in; a rest smaller than a fixed batch is padded.
        options: how to open it.
        sizes: further sets of inputs with other lengths of free dimensions, run in the last batch size of all.
        edges: inputs that an artifact may refuse, run in the same.
        unpinned: run once more with the precision left to the engine, where it would choose another.
    """

    runtime: str
    files: tuple[Blob, ...]
    inputs: dict[str, Blob]
    batches: tuple[int, ...]
    options: OpenOptions
    sizes: tuple[dict[str, Blob], ...] = ()
    edges: dict[str, Blob] = field(default_factory=dict)
    unpinned: bool = False

    def run(self, work: Workspace) -> RunResult:
        runtime = installed_runtime(self.runtime)
        inputs = load_arrays(work, self.inputs)
        with runtime.open(work.path(self.files[0]), on_cluster(self.options)) as session:
            fixed = session.signature.batch
            batches = self.batches if fixed is None else (fixed,)
            work.progress(Progress(f"run on {self.runtime} with batch {batches[0]}"))
            first = run_samples(session, inputs, batches[0])
            outputs = [save_arrays(work, f"out{batches[0]}", first)]
            for batch in batches[1:]:
                work.progress(Progress(f"run on {self.runtime} with batch {batch}"))
                some = {name: array[: REPEATED * batch] for name, array in inputs.items()}
                again = run_samples(session, some, batch)
                outputs.append(
                    save_arrays(work, f"out{batch}", _completed(again, first, len(next(iter(some.values())))))
                )
            sizes = tuple(self._at_other_size(work, session, index, batches[-1]) for index in range(len(self.sizes)))
            edges = self._at_edges(work, session, batches[-1])
            signature, effective = session.signature, session.effective()
        unpinned, chosen = self._unpinned(work, runtime, inputs, batches[-1], effective.precision.value)
        return RunResult(
            signature, tuple(outputs), batches, effective, runtime.version(), sizes, edges, unpinned, chosen
        )

    def _at_edges(self, work: Workspace, session: Session, batch: int) -> dict[str, Blob]:
        if not self.edges:
            return {}
        try:
            return save_arrays(work, "edge", run_samples(session, load_arrays(work, self.edges), batch))
        except ModelError:  # such as an index beyond its table: no inputs that the model was made for
            return {}

    def _unpinned(
        self, work: Workspace, runtime: Runtime, inputs: Arrays, batch: int, pinned: Optional[str]
    ) -> tuple[dict[str, Blob], Optional[str]]:
        """Outputs in the precision of the engine's own choice, and that precision, where it is another."""
        default = runtime.default_precision(self.options.accelerator) if self.unpinned else None
        if default is None or default == self.options.precision:
            return {}, None
        with runtime.open(work.path(self.files[0]), replace(self.options, precision=None)) as session:
            chosen = session.effective().precision.value
            if chosen is None or chosen == pinned:
                return {}, None
            work.progress(Progress(f"run on {self.runtime} in {chosen}"))
            first = {name: array[:UNPINNED] for name, array in inputs.items()}
            return save_arrays(work, "unpinned", run_samples(session, first, batch)), chosen

    def _at_other_size(self, work: Workspace, session: Session, index: int, batch: int) -> dict[str, Blob]:
        inputs = load_arrays(work, self.sizes[index])
        if not _has_room(session.signature, inputs):
            return {}
        work.progress(Progress(f"run on {self.runtime} at another size"))
        try:
            return save_arrays(work, f"size{index}", run_samples(session, inputs, batch))
        except ModelError as err:
            shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape[1:]))}" for name, array in inputs.items())
            raise ModelError(
                "another-size-fails",
                f"the artifact declares free sizes, but cannot run at another one ({shapes}): {err.message}",
                received=err.received,
                hint="Choose another --route, or fix the size with --input.",
            ) from err


@dataclass(frozen=True)
class TensorsResult:
    """Whole tensors of an artifact, sample by sample.

    Attributes:
        tensors: one ``.npy`` per output name, ``(inferences, ...)`` with the tensor's own shape behind that: what
            lies inside a model need not have its samples first.
        batch: samples per inference.
    """

    tensors: dict[str, Blob]
    batch: int


@dataclass(frozen=True)
class TensorsJob(Job[TensorsResult]):
    """Run an artifact on samples one by one, or in its fixed batch, and keep every output whole.

    An output whose shape changes from one inference to the next is left out.

    Attributes:
        runtime: name in the registry.
        files: the artifact, the entry file first.
        inputs: one ``.npy`` per input name, samples first.
        options: how to open it.
        whole: each entry of an input is what one inference takes, whatever its axes mean, as for a part of a model.
    """

    runtime: str
    files: tuple[Blob, ...]
    inputs: dict[str, Blob]
    options: OpenOptions
    whole: bool = False

    def run(self, work: Workspace) -> TensorsResult:
        runtime = installed_runtime(self.runtime)
        inputs = load_arrays(work, self.inputs)
        samples = min(len(array) for array in inputs.values())
        kept: dict[str, Optional[ArrayFile]] = {}
        with runtime.open(work.path(self.files[0]), self.options) as session:
            batch = 1 if self.whole else session.signature.batch or 1
            for place in range(samples // batch):
                part = place if self.whole else slice(place * batch, place * batch + batch)
                piece = {name: np.ascontiguousarray(array[part]) for name, array in inputs.items()}
                made = session.run(narrowed(session.signature, piece))
                while made:  # each is given back before the next is written
                    name = next(iter(made))
                    _keep(work, kept, name, place, samples // batch, made.pop(name))
        files = {name: f"tensor-{index}.npy" for index, name in enumerate(kept)}
        return TensorsResult({name: work.blob(file) for name, file in files.items() if kept[name] is not None}, batch)


def _keep(
    work: Workspace, kept: dict[str, Optional[ArrayFile]], name: str, place: int, count: int, array: np.ndarray
) -> None:
    """Write what one inference gave into the tensor's file, or give up a tensor whose shape changes."""
    if name not in kept:
        path = Path(work.folder) / f"tensor-{len(kept)}.npy"  # names of tensors are no safe file names
        kept[name] = ArrayFile(path, array.dtype, (count, *array.shape))
    file = kept[name]
    if file is not None and file.shape[1:] == array.shape:
        file.write(place, array[np.newaxis])
    else:
        kept[name] = None


@dataclass(frozen=True)
class TimeJob(Job[Opening]):
    """Open an artifact once and time its inferences on given inputs.

    Attributes:
        runtime: name in the registry.
        files: the artifact, the entry file first.
        inputs: one ``.npy`` per input name; the first ``plan.batch`` samples are used, in turn where there are fewer.
        options: how to open it.
        plan: how long to warm up and to measure.
    """

    runtime: str
    files: tuple[Blob, ...]
    inputs: dict[str, Blob]
    options: OpenOptions
    plan: TimingPlan

    def run(self, work: Workspace) -> Opening:
        runtime = installed_runtime(self.runtime)
        batch = {name: first_samples(array, self.plan.batch) for name, array in load_arrays(work, self.inputs).items()}
        plan = replace(self.plan, **PATH_ONLY) if probe().emulated else self.plan
        return time_opening(runtime, work.path(self.files[0]), batch, on_cluster(self.options), plan, work)


def run_samples(session: Session, inputs: Mapping[str, np.ndarray], batch: int) -> Arrays:
    """Run samples through a session in batches.

    Args:
        session: an opened artifact.
        inputs: one array per input name, ``(samples, ...)``.
        batch: samples per inference. A short batch is padded with its last sample where the artifact's batch is
            fixed or there are fewer samples than that, so that a batch of this size has run; the padding is cut off.

    Returns:
        One array per output name, ``(samples, ...)``.

    Raises:
        DataError: an input does not fit, see `Session.run` and `narrowed`.
    """
    inputs = narrowed(session.signature, inputs)
    samples = min(len(array) for array in inputs.values())
    pieces: list[Arrays] = []
    for start in range(0, samples, batch):
        piece = {name: np.ascontiguousarray(array[start : start + batch]) for name, array in inputs.items()}
        count = len(next(iter(piece.values())))
        if count < batch and (session.signature.batch is not None or samples < batch):
            piece = {name: np.concatenate([a, np.repeat(a[-1:], batch - count, axis=0)]) for name, a in piece.items()}
        pieces.append({name: array[:count] for name, array in session.run(piece).items()})
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _completed(some: Arrays, first: Arrays, count: int) -> Arrays:
    """Outputs of the first few samples, with the others as they came out before; an odd shape stays alone and shows."""
    return {
        name: np.concatenate([array, first[name][count:]]) if array.shape == (count, *first[name].shape[1:]) else array
        for name, array in some.items()
    }


def _has_room(signature: Signature, inputs: Mapping[str, np.ndarray]) -> bool:
    """Whether no fixed length besides the batch rules these inputs out."""
    return all(
        want is None or want == have
        for spec in signature.inputs
        if spec.name in inputs
        for want, have in zip(spec.shape[1:], inputs[spec.name].shape[1:])
    )


def first_samples(array: np.ndarray, count: int) -> np.ndarray:
    """The first samples, repeated where there are too few."""
    return np.ascontiguousarray(array[np.arange(count) % len(array)])


def load_arrays(work: Workspace, blobs: Mapping[str, Blob]) -> Arrays:
    """Memory-mapped arrays of a message."""
    return {name: np.load(work.path(blob), mmap_mode="r", allow_pickle=False) for name, blob in blobs.items()}


def save_arrays(work: Workspace, prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Blob]:
    """Write arrays into the job's folder and name them."""
    blobs = {}
    for index, (name, array) in enumerate(arrays.items()):
        file = f"{prefix}-{index}.npy"  # names of tensors are no safe file names
        np.save(Path(work.folder) / file, array, allow_pickle=False)
        blobs[name] = work.blob(file)
    return blobs
