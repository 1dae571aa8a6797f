"""The job that looks at a source: signature and figures."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.exporter.loading import SourceSpec
from edgekit.exporter.sources.registry import load_source_model
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.types import Blob, Signature


@dataclass(frozen=True)
class Description:
    """A source that was loaded.

    Attributes:
        kind: node of the conversion graph, without a backend.
        signature: inputs and outputs, pinned sizes applied.
        framework: what wrote the file, such as ``keras 3.15.1``.
        parameters: trained numbers, statistics of normalisation included; None where nothing tells.
        operators: how often each kind of layer or operator occurs.
        weight_dtypes: element types of the weights.
        flops: floating point operations of one sample; None where not known or not asked for.
        state: what another process needs beside the code to load the same weights.
        notes: what the user should know.
    """

    kind: str
    signature: Signature
    framework: str
    parameters: int | None
    operators: dict[str, int]
    weight_dtypes: tuple[str, ...]
    flops: int | None
    state: Blob | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class DescribeJob(Job[Description]):
    """Load a source and read its signature. `ObserveJob` runs it.

    Attributes:
        source: the model.
        count: also count floating point operations, which takes a trace of the model.
    """

    source: SourceSpec
    count: bool = False

    def run(self, work: Workspace) -> Description:
        work.progress(Progress("load the model"))
        entry = work.path(self.source.files[0]) if self.source.files else None
        loaded = load_source_model(self.source.kind, entry, self.source.loading)
        state = loaded.keep(work.folder)
        return Description(
            kind=loaded.kind,
            signature=loaded.signature,
            framework=loaded.framework,
            parameters=loaded.parameters,
            operators=dict(loaded.operators()),
            weight_dtypes=tuple(sorted(loaded.weight_dtypes())),
            flops=loaded.flops() if self.count else None,
            state=None if state is None else work.blob(state.name),
            notes=loaded.notes,
        )
