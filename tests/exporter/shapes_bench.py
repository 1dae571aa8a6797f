"""What tests of sizes and signatures share: sources, their references, and artifacts judged as export judges them."""

from __future__ import annotations

from pathlib import Path

from edgekit.exporter.attempts import BATCHES
from edgekit.exporter.describe import DescribeJob
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.jobs import ConvertJob
from edgekit.exporter.loading import Loading, SourceSpec
from edgekit.exporter.observe import Observation, ObserveJob
from edgekit.jobs.executor import Executor
from edgekit.parity.evaluate import Evaluation, OtherSize, Reference, evaluate
from edgekit.types import Blob, TensorSpec

Pins = dict[str, tuple[int | None, ...]]


class Bench:
    """Keras models in a folder, an executor, and every reference and conversion once.

    Attributes:
        executor: runs the jobs.
    """

    def __init__(self, executor: Executor, folder: Path, code: dict[str, str]) -> None:
        self.executor = executor
        self._folder = folder
        self._code = code
        self._references: dict[str, Reference] = {}
        self._made: dict[tuple[str, ...], tuple[Blob, ...]] = {}

    def spec(self, model: str, pins: Pins | None = None) -> SourceSpec:
        source = self.executor.add(self._folder / f"{model}.keras")
        return SourceSpec(
            "keras",
            (source,),
            Loading(pins={name: TensorSpec(name, shape, "") for name, shape in (pins or {}).items()}),
        )

    def observe(self, spec: SourceSpec, inputs: dict[str, Blob] | None = None) -> Observation:
        return self.executor.run(ObserveJob(spec, inputs or {}), conversion_context("jax"))

    def reference(self, model: str, pins: Pins | None = None, inputs: dict[str, Blob] | None = None) -> Reference:
        """The source on generated samples, or on those given, by Keras on JAX."""
        key = f"{model} {pins} {inputs}"
        if key not in self._references:
            spec = self.spec(model, pins)
            signature = self.executor.run(DescribeJob(spec), conversion_context("jax")).signature
            found = self.observe(spec, inputs)
            self._references[key] = Reference(
                signature=signature,
                inputs=found.inputs,
                outputs=self._paths(found.outputs),
                noise=found.noise,
                reacts=found.reacts,
                origin="real" if inputs else "generated",
                sizes=tuple(
                    OtherSize(size.inputs, self._paths(size.outputs), size.noise, size.reacts, size.edge)
                    for size in found.sizes
                ),
            )
        return self._references[key]

    def convert(self, model: str, *hops: str, pins: Pins | None = None) -> tuple[Blob, ...]:
        """Files of an artifact by some hops, planted ones among them."""
        spec, signature = self.spec(model, pins), self.reference(model, pins).signature
        files = spec.files
        for count, hop in enumerate(hops, start=1):
            key = (model, str(pins), *hops[:count])
            if key not in self._made:
                backend = hop.partition(">")[0].partition("@")[2] or None
                if backend is None and hop.partition(">")[0] not in ("onnx", "openvino", "stablehlo", "saved_model"):
                    backend = "openvino"  # the second hop of a planted route
                job = ConvertJob(hop, files, signature, loading=spec.loading)
                self._made[key] = self.executor.run(job, conversion_context(backend, self._code)).files
            files = self._made[key]
        return files

    def judge(
        self, model: str, *hops: str, pins: Pins | None = None, inputs: dict[str, Blob] | None = None
    ) -> Evaluation:
        """Convert, run and compare, as export does."""
        reference = self.reference(model, pins, inputs)
        return evaluate(
            hops[-1].rpartition(">")[2],
            "fp32",
            self.convert(model, *hops, pins=pins),
            reference,
            executor=self.executor,
            context=conversion_context(None),
            batches=BATCHES if reference.signature.batch is None else (reference.signature.batch,),
        )

    def _paths(self, blobs: dict[str, Blob]) -> dict[str, Path]:
        return {name: self.executor.path(blob) for name, blob in blobs.items()}
