"""The job that looks at a source: signature and figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.types import Blob, Signature


@dataclass(frozen=True)
class Description:
    """A source that was loaded.

    Attributes:
        signature: inputs and outputs, pinned sizes applied.
        framework: what wrote the file, such as ``keras 3.15.1``.
        backend: the Keras backend that loaded it.
        parameters: trained numbers, statistics of normalisation included.
        layers: how many, those inside other layers too.
    """

    signature: Signature
    framework: str
    backend: str
    parameters: int
    layers: int


@dataclass(frozen=True)
class DescribeJob(Job[Description]):
    """Load a ``.keras`` file and read its signature. `ObserveJob` runs it.

    Attributes:
        model: the file.
        pins: shapes of inputs whose free dimensions are to be fixed, by name.
    """

    model: Blob
    pins: dict[str, tuple[int | None, ...]] = field(default_factory=dict)

    def run(self, work: Workspace) -> Description:
        import keras

        from edgekit.exporter.keras_ import load, pinned

        work.progress(Progress("load the model"))
        loaded = load(work.path(self.model))
        return Description(
            signature=pinned(loaded, self.pins),
            framework=loaded.framework,
            backend=keras.backend.backend(),
            parameters=loaded.parameters,
            layers=len(loaded.layers),
        )
