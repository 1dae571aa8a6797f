"""Frameworks among the runtimes: they open a file of theirs as an engine opens an artifact, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from edgekit.errors import ModelError, UsageError
from edgekit.exporter.loading import Loading
from edgekit.exporter.sources.registry import load_source_model
from edgekit.runtimes.base import OpenOptions, Runtime, Session, accelerator_missing, check_open
from edgekit.runtimes.placement import CPU


class FileRuntime(Runtime):
    """The reference: a framework, by default on the CPU, in the model's own precision.

    Other ways to run a source, compiled ones and other backends of Keras, are timed: see `edgekit.exporter.ways`.

    Attributes:
        kind: of the source.
    """

    kind: ClassVar[str]

    def open(self, path: Path, options: OpenOptions) -> Session:
        """Load a file.

        Raises:
            UsageError: an option was set that a framework does not have.
            MissingError: the accelerator is not here.
            ModelError: the framework refuses the file.
        """
        check_open(path, options)
        if options.threads is not None:
            raise _not_for_a_framework(f"threads={options.threads}")
        if options.accelerator != CPU:
            return self.accelerated(path, options.accelerator)
        return load_source_model(self.kind, path, Loading()).open()

    def accelerated(self, path: Path, accelerator: str) -> Session:
        """Load a file onto an accelerator; a framework has none unless it says so."""
        raise _not_for_a_framework(f"accelerator={accelerator}")


class KerasRuntime(FileRuntime):
    """Keras on the process's backend; ``.keras`` files."""

    name = "keras"
    kind = "keras"

    def version(self) -> str:
        import keras

        return f"{keras.__version__} ({keras.backend.backend()})"


class TorchRuntime(FileRuntime):
    """Torch; ``.pt2`` files of ``torch.export``. Its accelerator is ``CUDA``, where f32 is f32 and not TF32."""

    name = "torch"
    kind = "torch.export"

    def version(self) -> str:
        import torch

        return str(torch.__version__)

    def accelerated(self, path: Path, accelerator: str) -> Session:
        import torch

        from edgekit.exporter.sources.torch_ import load_program

        if accelerator != "CUDA":
            raise accelerator_missing("torch", accelerator, (CPU, "CUDA"))
        if not torch.cuda.is_available():
            seen = f"torch {torch.__version__} (built {torch.version.cuda or 'without CUDA'}) sees no GPU."
            raise accelerator_missing("torch", accelerator, (CPU,), seen)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        return load_program(path, Loading()).open_on("cuda")


class JaxRuntime(FileRuntime):
    """JAX; ``.jax`` files of ``jax.export``, compiled once per input shape.

    Its accelerators are the platforms of JAX (``cuda``, ``rocm``, ``tpu``, …), of those that the file was exported for.
    """

    name = "jax"
    kind = "jax.export"

    def version(self) -> str:
        import jax

        return str(jax.__version__)

    def accelerated(self, path: Path, accelerator: str) -> Session:
        import jax

        from edgekit.exporter.sources.jax_ import JaxSession, load_exported

        platform = accelerator.lower()
        try:
            device = jax.devices(platform)[0]
        except RuntimeError as err:
            present = sorted({one.platform.upper() for one in jax.devices()})
            raise accelerator_missing("jax", accelerator, present, str(err)) from err
        loaded = load_exported(path, Loading())
        if platform not in loaded.exported.platforms:
            raise ModelError(
                "not-for-this-platform",
                f"{path.name} was not exported for {platform}.",
                received=", ".join(loaded.exported.platforms),
                hint=f"Export it with jax.export.export(..., platforms=['{platform}']), or leave the accelerator out.",
            )
        return JaxSession(loaded.signature, jax.jit(loaded.function), device)


def _not_for_a_framework(received: str) -> UsageError:
    return UsageError(
        "not-for-a-framework",
        "the source runs on the CPU with the threads of its own framework.",
        received=received,
        hint="Leave out --threads and the accelerator for the source.",
    )
