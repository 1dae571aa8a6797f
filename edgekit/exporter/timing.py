"""Times a source as its framework runs it, by the same loop as an artifact."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from edgekit.exporter.graph import conversion_context
from edgekit.exporter.loading import SourceSpec
from edgekit.exporter.reference import LoadedSource
from edgekit.exporter.sources.registry import SOURCES, load_source_model
from edgekit.exporter.ways import Way
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Job, Workspace
from edgekit.latency.measured import Candidate
from edgekit.runtimes.base import OpenOptions, Runtime, Session
from edgekit.runtimes.jobs import first_samples, load_arrays
from edgekit.runtimes.timing import Opening, TimingPlan, time_opening
from edgekit.types import Blob


class FrameworkRuntime(Runtime):
    """The framework of a source, to run it in one way: on the CPU, with the framework's own threads.

    Loading reads the file or calls the factory. Compilation falls into loading for an exported program, and into
    the first inference for everything else.
    """

    name = "source"

    def __init__(self, source: SourceSpec, way: str) -> None:
        self._source = source
        self._way = way

    def version(self) -> str:
        """Of the framework, and of Keras' backend; imports them."""
        (framework,) = SOURCES[self._source.kind].needs
        module = import_module(framework)
        if framework != "keras":
            return _short(module.__version__)
        backend = module.backend.backend()
        return f"{_short(module.__version__)} on {backend} {_short(import_module(backend).__version__)}"

    def open(self, path: Path, options: OpenOptions) -> Session:
        """See `Runtime.open`; options have no meaning here.

        Raises:
            EdgekitError: see `edgekit.exporter.loading.Load`.
        """
        entry = path if self._source.files else None
        return load_source_model(self._source.kind, entry, self._source.loading).ways()[self._way]()


@dataclass(frozen=True)
class TimeSourceJob(Job[Opening]):
    """Load a source once and time its inferences on given inputs.

    Attributes:
        source: the model.
        way: of `Loaded.ways`.
        inputs: one ``.npy`` per input name; the first ``plan.batch`` samples are used, in turn where there are fewer.
        plan: how long to warm up and to measure.
    """

    source: SourceSpec
    way: str
    inputs: dict[str, Blob]
    plan: TimingPlan

    def run(self, work: Workspace) -> Opening:
        batch = {name: first_samples(array, self.plan.batch) for name, array in load_arrays(work, self.inputs).items()}
        entry = work.path(self.source.files[0]) if self.source.files else work.folder
        runtime = FrameworkRuntime(self.source, self.way)
        return time_opening(runtime, entry, batch, OpenOptions(), self.plan, work)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCandidate(Candidate):
    """A source to time in one way.

    Attributes:
        source: the model.
        way: how.
        home: the process of its framework.
    """

    source: SourceSpec
    way: str
    home: Context

    def job(self, inputs: Mapping[str, Blob], options: OpenOptions, plan: TimingPlan) -> TimeSourceJob:
        """One stream, inputs and outputs copied: a framework offers nothing else."""
        return TimeSourceJob(self.source, self.way, dict(inputs), replace(plan, streams=1, copy=True))

    def cached_load(self, options: OpenOptions, cache: tuple[Blob, ...]) -> None:
        """A framework keeps nothing for the next process here."""

    def context(self, device: Context) -> Context:
        """The process of the framework, pinned as engines are."""
        return Context(self.home.name, {**self.home.env, **device.env}, self.home.python)


def source_candidates(
    source: LoadedSource, ways: Sequence[Way], inputs: Mapping[str, Blob]
) -> tuple[SourceCandidate, ...]:
    """A source as `edgekit.latency.measure` takes it, once for each way.

    Args:
        source: the model.
        ways: of `edgekit.exporter.ways.ways_to_run`.
        inputs: one ``.npy`` per input name, samples first.
    """
    return tuple(
        SourceCandidate(
            name=f"{way.runtime} {way.name}",
            runtime=way.runtime,
            files=source.spec.files,
            inputs=inputs,
            options=OpenOptions(),
            size_bytes=sum(blob.size for blob in source.spec.files),
            fixed_batch=source.signature.batch,
            compiles=True,
            source=source.spec,
            way=way.name,
            home=conversion_context(way.backend, source.env),
        )
        for way in ways
    )


def _short(version: str) -> str:
    """Without the build."""
    return re.split("[-+]", version)[0]
